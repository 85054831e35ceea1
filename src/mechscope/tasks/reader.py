"""The tokenizer interface of the task builders: plain ids of a text, and checks that words are one token."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mechscope.data.word_tokenizer import text_pieces
from mechscope.model.special_tokens import begin_ids, ids_in_front, text_ids


class Reader:
    """Encodes text with a model's tokenizer or with a given one.

    Raises:
        ValueError: for a model without a tokenizer.
        TypeError: for anything that is neither.
    """

    def __init__(self, source: Any) -> None:
        self.model: Any = source if hasattr(source, "cfg") else None
        self.tokenizer: Any = source.tokenizer if hasattr(source, "tokenizer") else source
        if self.tokenizer is None:
            raise ValueError(
                "this task consists of text, but the model has no tokenizer: call model.set_tokenizer(tokenizer), or "
                "use a task of plain tokens such as repeated_random_tokens."
            )
        if not hasattr(self.tokenizer, "encode") or not hasattr(self.tokenizer, "decode"):
            raise TypeError(
                f"a task needs a model with a tokenizer, or a tokenizer, not {type(source).__name__}."
            )
        self.unknown: int | None = getattr(self.tokenizer, "unk_token_id", None)
        # GPT-2 declares its end-of-text token as the unknown token too, but can encode any text.
        if self.unknown == getattr(self.tokenizer, "eos_token_id", None):
            self.unknown = None

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without special tokens."""
        return text_ids(self.tokenizer, text)

    def encode_known(self, text: str) -> list[int]:
        """Ids of a text.

        Raises:
            ValueError: if the tokenizer does not know parts of it; lists those parts.
        """
        ids = self.encode(text)
        if self.unknown is not None and self.unknown in ids:
            parts = [piece for piece in text_pieces(text) if self.unknown in self.encode(piece)]
            raise ValueError(
                f"the tokenizer does not know {', '.join(map(repr, parts)) or 'a part'} of {text!r}. Choose other "
                "words or templates, or make a tokenizer for them: word_tokenizer(tasks.vocabulary(name)) for a task, "
                "word_tokenizer(text_pieces(texts)) for texts."
            )
        return ids

    def pieces(self, text: str) -> list[int]:
        """Ids of a text as it occurs inside another: " Mary" is not the start of a sentence."""
        if not text.startswith(" "):
            return self.encode(text)
        before = self.encode("a")
        ids = self.encode("a" + text)
        # SentencePiece tokenizers add a space before a text that begins with none.
        return ids[len(before) :] if ids[: len(before)] == before else self.encode(text)

    def token(self, text: str) -> int | None:
        """The id of a text that is one known token, else None."""
        ids = self.pieces(text)
        return ids[0] if len(ids) == 1 and ids[0] != self.unknown else None

    def need_token(self, text: str, what: str) -> int:
        """The id of a text that must be one token.

        Raises:
            ValueError: if it is unknown, or several tokens; lists them.
        """
        found = self.token(text)
        if found is not None:
            return found
        if self.unknown in self.pieces(text):
            raise ValueError(f"{what} {text!r} is not in the tokenizer's vocabulary.")
        hint = (
            ""
            if text.startswith(" ")
            else f" Inside a sentence a word includes its leading space: {' ' + text!r}."
        )
        pieces = list(self.texts(self.pieces(text)))
        raise ValueError(f"{what} {text!r} is not one token but {len(pieces)}: {pieces}.{hint}")

    def words(self, words: Iterable[str], what: str, at_least: int = 1) -> dict[str, int]:
        """Word → id, for the words that are one token after a space.

        Raises:
            ValueError: if fewer than `at_least` are; lists the words that are not.
        """
        listed = list(dict.fromkeys(words))
        ids = {word: self.token(" " + word) for word in listed}
        kept = {word: found for word, found in ids.items() if found is not None}
        if len(kept) < at_least:
            left_out = [word for word in listed if word not in kept]
            shown = ", ".join(left_out[:12]) + (
                f" and {len(left_out) - 12} more" if len(left_out) > 12 else ""
            )
            raise ValueError(
                f"{len(kept)} of {len(listed)} {what} are one token in this tokenizer, and at least {at_least} are "
                f"needed; left out: {shown or 'none'}. Give words that it knows as single tokens; a word tokenizer "
                "for a task is word_tokenizer(tasks.vocabulary(name))."
            )
        return kept

    def texts(self, ids: Sequence[int]) -> tuple[str, ...]:
        """Each token as text, including its leading space."""
        if hasattr(self.tokenizer, "token_texts"):
            return tuple(self.tokenizer.token_texts(list(ids)))
        return tuple(self.tokenizer.decode([index]) for index in ids)

    def begin(self, prepend_bos: bool | None) -> list[int]:
        """The ids that a prompt starts with, as `model.to_tokens` would start it.

        Args:
            prepend_bos: None follows the model's `cfg.default_prepend_bos`, or, without a model,
                whether the tokenizer adds its begin token to texts.

        Raises:
            ValueError: if a begin token is requested but the tokenizer has none.
        """
        if prepend_bos is False:
            return []
        if prepend_bos is None and self.model is None:
            return ids_in_front(self.tokenizer)
        if prepend_bos is None and not self.model.cfg.default_prepend_bos:
            return []
        found = begin_ids(self.tokenizer)
        if not found and prepend_bos:
            raise ValueError(
                "prepend_bos needs a beginning-of-sequence token, but this tokenizer has none; leave prepend_bos out."
            )
        return found

    @property
    def pad(self) -> int:
        """The token that pads shorter prompts; it is masked, so any token would do."""
        found = getattr(self.tokenizer, "pad_token_id", None)
        return 0 if found is None else found
