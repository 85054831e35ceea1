"""The tokenizer interface of the task builders: plain ids of a text, and checks that words are one token."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mechscope.data.word_tokenizer import text_pieces
from mechscope.model.special_tokens import begin_ids, ids_in_front, text_ids
from mechscope.tasks.left_out import LeftOut, some


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
        self.left_out: list[LeftOut] = []
        """Words that were looked up and are not one token."""
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
        """Word → id, for the words that are one token after a space; the others are noted in `left_out`.

        Raises:
            ValueError: if fewer than `at_least` are; lists the words that are not.
        """
        kept = self.word_groups([(word,) for word in words], what, at_least)
        return {word: ids[0] for (word,), ids in kept.items()}

    def word_groups(
        self, groups: Iterable[tuple[str, ...]], what: str, at_least: int = 1
    ) -> dict[tuple[str, ...], tuple[int, ...]]:
        """Words that belong together → their ids, for the groups in which every word is one token after a space.

        Raises:
            ValueError: as `words`.
        """
        listed = list(dict.fromkeys(groups))
        found = {group: [self.token(" " + word) for word in group] for group in listed}
        kept = {
            group: tuple(one for one in ids if one is not None)
            for group, ids in found.items()
            if None not in ids
        }
        left_out = tuple("/".join(group) for group in listed if group not in kept)
        if len(kept) < at_least:
            verb = (
                "are one token" if all(len(group) == 1 for group in listed) else "are one token in every form"
            )
            raise ValueError(
                f"{len(kept)} of {len(listed)} {what} {verb} in this tokenizer, and at least {at_least} are "
                f"needed; left out: {some(left_out) or 'none'}. Give words that it knows as single tokens; a word "
                "tokenizer for a task is word_tokenizer(tasks.vocabulary(name))."
            )
        if left_out:
            self.left_out.append(LeftOut(what, left_out, len(listed)))
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
