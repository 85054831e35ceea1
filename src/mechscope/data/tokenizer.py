"""A tokenizer with the interface that notebooks expect, built on the `tokenizers` library alone.

It converts text to token ids and back, names the special tokens, and pads batches on either side.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import tokenizers

from mechscope.data._encoding import Encoding, pad_and_stack
from mechscope.data._special_tokens import SpecialToken, SpecialTokenId
from mechscope.data.tokenizer_files import read_tokenizer

if TYPE_CHECKING:
    import torch


class Tokenizer:
    """Text to token ids and back, with Hugging Face's method names.

    If no beginning-of-sequence or padding token is given, the end-of-sequence token takes its role (as
    in GPT-2, where one token is both beginning and end).

    >>> from mechscope.checkpoints.registry import BUNDLED
    >>> tokenizer = Tokenizer.from_folder(BUNDLED / "mini-gelu-1l")
    >>> tokenizer.token_texts(tokenizer.encode("Hello world"))
    ['<|bos|>', 'H', 'el', 'lo', ' w', 'or', 'ld']

    Raises:
        ValueError: if a special token is not in the vocabulary.
    """

    bos_token = SpecialToken()
    eos_token = SpecialToken()
    pad_token = SpecialToken()
    unk_token = SpecialToken()
    cls_token = SpecialToken()
    sep_token = SpecialToken()
    mask_token = SpecialToken()
    bos_token_id = SpecialTokenId()
    eos_token_id = SpecialTokenId()
    pad_token_id = SpecialTokenId()
    unk_token_id = SpecialTokenId()
    cls_token_id = SpecialTokenId()
    sep_token_id = SpecialTokenId()
    mask_token_id = SpecialTokenId()

    def __init__(
        self,
        backend: tokenizers.Tokenizer,
        *,
        bos_token: str | None = None,
        eos_token: str | None = None,
        pad_token: str | None = None,
        unk_token: str | None = None,
        cls_token: str | None = None,
        sep_token: str | None = None,
        mask_token: str | None = None,
        padding_side: Literal["left", "right"] = "right",
        model_max_length: int | None = None,
        drops_space_after_bos: bool = False,
        name_or_path: str = "",
    ) -> None:
        # A file may contain the padding and truncation settings of the program that wrote it.
        backend.no_padding()
        backend.no_truncation()
        self.backend = backend
        self.padding_side: Literal["left", "right"] = padding_side
        self.model_max_length = model_max_length
        self.drops_space_after_bos = drops_space_after_bos
        self.name_or_path = name_or_path
        self.special_tokens_map: dict[str, str] = {}
        self.bos_token = bos_token if bos_token is not None else eos_token
        self.eos_token = eos_token
        self.pad_token = pad_token if pad_token is not None else eos_token
        self.unk_token = unk_token
        self.cls_token = cls_token
        self.sep_token = sep_token
        self.mask_token = mask_token
        self.prepends_bos = self._find_prepended_bos()

    @classmethod
    def from_folder(cls, folder: str | Path) -> Self:
        """Read a tokenizer from a folder, in any of the layouts that `tokenizer_files` lists.

        Raises:
            FileNotFoundError: if the folder has no tokenizer; lists the file names that were tried.
            ValueError: for a file whose content does not match its name.
        """
        backend, settings = read_tokenizer(folder)
        return cls(backend, **settings)

    def __call__(
        self,
        text: str | Sequence[str],
        text_pair: str | Sequence[str] | None = None,
        *,
        add_special_tokens: bool = True,
        padding: bool | Literal["longest", "max_length"] = False,
        truncation: bool = False,
        max_length: int | None = None,
        padding_side: Literal["left", "right"] | None = None,
        return_tensors: Literal["pt"] | None = None,
        return_offsets_mapping: bool = False,
    ) -> Encoding:
        """Token ids, attention mask (1 = a real token) and token types of a text or of many.

        With `return_tensors="pt"` each is a tensor [batch pos]; otherwise lists, nested as the input was.

        Raises:
            ValueError: if tensors are requested for texts of unequal length without padding, or max_length is missing.
        """
        if (truncation or padding == "max_length") and max_length is None:
            max_length = self.model_max_length
            if max_length is None:
                raise ValueError(
                    "truncation and padding='max_length' need a max_length: this tokenizer has no default."
                )
        single = isinstance(text, str)
        texts = [text] if isinstance(text, str) else list(text)
        pairs = [text_pair] if isinstance(text_pair, str) else None if text_pair is None else list(text_pair)
        if pairs is not None and len(pairs) != len(texts):
            raise ValueError(f"text_pair has {len(pairs)} entries for {len(texts)} texts.")
        encodings = self._encode_batch(texts, pairs, add_special_tokens, max_length if truncation else None)
        return pad_and_stack(
            encodings,
            pad_id=self.pad_token_id if padding else None,
            length=None if padding != "max_length" else max_length,
            padding=bool(padding),
            side=padding_side or self.padding_side,
            as_tensors=return_tensors,
            single=single,
            offsets=return_offsets_mapping,
        )

    def encode(
        self,
        text: str,
        text_pair: str | None = None,
        *,
        add_special_tokens: bool = True,
        truncation: bool = False,
        max_length: int | None = None,
        return_tensors: Literal["pt"] | None = None,
    ) -> Any:
        """Token ids of one text: a list, or a tensor [1 pos] with `return_tensors="pt"`."""
        found = self(
            text,
            text_pair,
            add_special_tokens=add_special_tokens,
            truncation=truncation,
            max_length=max_length,
            return_tensors=return_tensors,
        )
        return found["input_ids"]

    def decode(
        self,
        token_ids: int | Iterable[int] | torch.Tensor,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> str:
        """The text of a sequence of token ids.

        A single token keeps its leading space. An id outside the vocabulary (models often have a few unused
        embedding rows) decodes to `<no token 50300>`.

        Raises:
            ValueError: for a negative id, for more than one sequence, or if cleaning up spaces is requested.
        """
        if clean_up_tokenization_spaces:
            raise ValueError(
                "cleaning up spaces would change the text; leave clean_up_tokenization_spaces out."
            )
        ids = _as_id_list(token_ids)
        if len(ids) == 1 and not skip_special_tokens:
            return self.token_texts(ids)[0]
        if not self.drops_space_after_bos or self.bos_token_id not in ids:
            return self._decode(ids, skip_special_tokens)
        # Encoding added a space before the first word; it is part of the token, not of the text.
        cut = ids.index(self.bos_token_id) + 1
        head, tail = self._decode(ids[:cut], skip_special_tokens), self.decode(ids[cut:], skip_special_tokens)
        return head + tail.removeprefix(" ")

    def batch_decode(
        self,
        sequences: Iterable[Any],
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> list[str]:
        """`decode` for each sequence."""
        return [self.decode(ids, skip_special_tokens, clean_up_tokenization_spaces) for ids in sequences]

    def tokenize(self, text: str) -> list[str]:
        """The vocabulary's own spelling of each token of a text, without special tokens."""
        return self.backend.encode(text, add_special_tokens=False).tokens

    def token_texts(self, token_ids: Iterable[int] | torch.Tensor) -> list[str]:
        """The text of each token, including its leading space: `[" the", " cat"]`.

        A SentencePiece decoder alone would drop the leading space of each word.
        """
        texts: list[str] = []
        for index in _as_id_list(token_ids):
            text = self._decode([index], skip_special_tokens=False)
            spelling = self.backend.id_to_token(index) or ""
            starts_word = spelling.startswith("▁") and not text.startswith(" ")
            texts.append(" " + text if starts_word else text)
        return texts

    def convert_ids_to_tokens(self, ids: Any) -> Any:
        """The vocabulary's own spelling of one id (a string) or of several (a list)."""
        if isinstance(ids, int):
            return self.backend.id_to_token(_valid(ids)) or f"<no token {ids}>"
        return [self.convert_ids_to_tokens(index) for index in _as_id_list(ids)]

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """The id of one spelling or of several; an unknown spelling gives the id of the unknown token, or None."""
        if isinstance(tokens, str):
            found = self.backend.token_to_id(tokens)
            return found if found is not None else self.unk_token_id
        return [self.convert_tokens_to_ids(token) for token in tokens]

    def get_vocab(self) -> dict[str, int]:
        """Every spelling with its id."""
        return self.backend.get_vocab(with_added_tokens=True)

    vocab = property(get_vocab)

    @property
    def vocab_size(self) -> int:
        """Number of tokens, excluding those added later; `len()` counts all."""
        return self.backend.get_vocab_size(with_added_tokens=False)

    def __len__(self) -> int:
        return self.backend.get_vocab_size(with_added_tokens=True)

    @property
    def all_special_tokens(self) -> list[str]:
        """The special tokens that are set, without duplicates."""
        return list(dict.fromkeys(self.special_tokens_map.values()))

    @property
    def all_special_ids(self) -> list[int]:
        """Their ids."""
        ids = (self.backend.token_to_id(token) for token in self.all_special_tokens)
        return [index for index in ids if index is not None]

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `tokenizer.json` and `tokenizer_config.json` into a folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        described: dict[str, Any] = {
            **self.special_tokens_map,
            "padding_side": self.padding_side,
            "drops_space_after_bos": self.drops_space_after_bos,
        }
        if self.model_max_length is not None:
            described["model_max_length"] = self.model_max_length
        texts = {
            "tokenizer.json": self.backend.to_str(pretty=False),
            "tokenizer_config.json": json.dumps(described, indent=2, ensure_ascii=False) + "\n",
        }
        for name, text in texts.items():
            unfinished = folder / f".{name}.unfinished"
            unfinished.write_text(text, encoding="utf-8")
            unfinished.replace(folder / name)

    def __repr__(self) -> str:
        roles = self.special_tokens_map.items()
        special = ", ".join(f"{name.removesuffix('_token')}={token!r}" for name, token in roles)
        where = f"{self.name_or_path}: " if self.name_or_path else ""
        return (
            f"Tokenizer({where}{len(self):,} tokens; {special}; prepends bos: {self.prepends_bos}; "
            f"pads on the {self.padding_side})"
        )

    def _encode_batch(
        self, texts: list[str], pairs: list[str] | None, add_special_tokens: bool, max_length: int | None
    ) -> list[tokenizers.Encoding]:
        if max_length is None:
            batch = texts if pairs is None else list(zip(texts, pairs, strict=True))
            return self.backend.encode_batch(batch, add_special_tokens=add_special_tokens)
        if pairs is not None:
            raise ValueError("truncation of pairs is not supported: shorten the texts before encoding them.")
        # Leave room for the special tokens, so that a closing [SEP] survives.
        reserved = self.backend.num_special_tokens_to_add(False) if add_special_tokens else 0
        encodings = self.backend.encode_batch(texts, add_special_tokens=False)
        for encoding in encodings:
            encoding.truncate(max(max_length - reserved, 0))
        return [self.backend.post_process(encoding, None, add_special_tokens) for encoding in encodings]

    def _decode(self, ids: list[int], skip_special_tokens: bool) -> str:
        # Ids may have gaps, so the number of tokens does not determine which ids exist.
        unknown = [position for position, index in enumerate(ids) if self.backend.id_to_token(index) is None]
        if not unknown:
            return self.backend.decode(ids, skip_special_tokens=skip_special_tokens)
        last = unknown[0]
        return (
            self._decode(ids[:last], skip_special_tokens)
            + f"<no token {ids[last]}>"
            + self._decode(ids[last + 1 :], skip_special_tokens)
        )

    def _find_prepended_bos(self) -> bool:
        bos = self.bos_token_id
        with_special = self.backend.encode("a", add_special_tokens=True).ids
        without = self.backend.encode("a", add_special_tokens=False).ids
        return bos is not None and with_special[:1] == [bos] and without[:1] != [bos]


def _valid(index: int) -> int:
    if index < 0:
        raise ValueError(f"a token id cannot be negative, as {index} is.")
    return index


def _as_id_list(token_ids: Any) -> list[int]:
    """A flat list of ids from an int, a list, an array or a tensor."""
    if hasattr(token_ids, "tolist"):
        token_ids = token_ids.tolist()
    ids = [token_ids] if isinstance(token_ids, int) else list(token_ids)
    if any(not isinstance(index, int) for index in ids):
        if ids and all(hasattr(index, "__index__") or getattr(index, "ndim", None) == 0 for index in ids):
            return [_valid(int(index)) for index in ids]
        raise ValueError("expected one sequence of token ids; for several sequences use batch_decode.")
    return [_valid(index) for index in ids]
