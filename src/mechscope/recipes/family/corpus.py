"""The family's text: beginnings of public-domain books and of the standard library's modules, as tokens."""

from __future__ import annotations

import hashlib
import logging
import platform
from collections.abc import Mapping
from dataclasses import dataclass

import safetensors
import safetensors.torch
import torch
from jaxtyping import Int
from torch import Tensor

from mechscope.data.books import books_archive, read_books
from mechscope.data.python_code import HELD_OUT_CODE, read_standard_library
from mechscope.data.tokenizer import Tokenizer
from mechscope.recipes.family.config import FamilyConfig
from mechscope.storage.files import write_atomically
from mechscope.storage.folders import cache_folder

log = logging.getLogger(__name__)

HELD_OUT_BOOKS = (
    "Herman_Melville__Bartleby_the_Scrivener",
    "Jack_London__The_Call_of_the_Wild",
    "L_Frank_Baum__Ozma_of_Oz",
    "Oscar_Wilde__The_Canterville_Ghost",
)
"""Books that no member is trained on."""


@dataclass(frozen=True)
class Corpus:
    """Tokens to train on."""

    books: Int[Tensor, " book_token"]
    """All books one behind the other, each after a BOS."""
    code: Int[Tensor, " code_token"]
    """All modules likewise."""
    checksum: str
    """SHA-256 of both, first 16 hexadecimal digits: the same text and tokenizer give the same."""
    python: str
    """Version of the Python whose library was read."""
    n_books: int
    """Number of books."""
    n_modules: int
    """Number of modules."""

    def rows(self, n_ctx: int) -> Int[Tensor, "batch pos"]:
        """Both cut into sequences of a BOS and n_ctx - 1 tokens, for counting."""
        whole = [stream[: len(stream) // (n_ctx - 1) * (n_ctx - 1)] for stream in (self.books, self.code)]
        rows = torch.cat(whole).view(-1, n_ctx - 1).long()
        return torch.cat([rows.new_zeros(len(rows), 1), rows], 1)


def training_texts(config: FamilyConfig) -> tuple[dict[str, str], dict[str, str]]:
    """(books, modules) that are trained on: name → beginning.

    Raises:
        FileNotFoundError: if either is out of reach, with what to do.
    """
    books = {
        name: text[: config.book_characters]
        for name, text in read_books(books_archive()).items()
        if name not in HELD_OUT_BOOKS
    }
    code = {
        name: text[: config.module_characters]
        for name, text in read_standard_library().items()
        if name not in HELD_OUT_CODE
    }
    return books, code


def load_corpus(config: FamilyConfig, tokenizer: Tokenizer) -> Corpus:
    """The text to train on, as tokens; kept in the cache folder, since tokenizing takes longer than a lesson.

    Raises:
        FileNotFoundError: if the books are out of reach, with what to do.
    """
    books, code = training_texts(config)
    sources = hashlib.sha256(tokenizer.backend.to_str().encode())
    for name, text in (*books.items(), *code.items()):
        sources.update(f"{name}\0{text}\0".encode("utf-8", "surrogatepass"))
    kept = cache_folder() / "family" / f"{sources.hexdigest()[:16]}.safetensors"
    try:
        tokens = safetensors.torch.load_file(kept)
        return _corpus(tokens["books"], tokens["code"])
    except (OSError, safetensors.SafetensorError, KeyError):
        log.info("Tokenizing %s books and %s modules.", len(books), len(code))
    found = _corpus(tokenize(books, tokenizer), tokenize(code, tokenizer))
    try:
        write_atomically(kept, safetensors.torch.save({"books": found.books, "code": found.code}))
    except OSError as error:
        # It would only have saved the next training the work.
        log.warning("%s Training continues without it.", error)
    return found


def tokenize(texts: Mapping[str, str], tokenizer: Tokenizer) -> Int[Tensor, " token"]:
    """All texts one behind the other, each after a BOS, as int16."""
    encoded = tokenizer.backend.encode_batch(list(texts.values()), add_special_tokens=True)
    return torch.cat([torch.tensor(one.ids, dtype=torch.int16) for one in encoded])


def _corpus(books: Tensor, code: Tensor) -> Corpus:
    both = hashlib.sha256(books.numpy().tobytes() + b"\0" + code.numpy().tobytes())
    bos = 0
    return Corpus(
        books,
        code,
        both.hexdigest()[:16],
        platform.python_version(),
        int((books == bos).sum()),
        int((code == bos).sum()),
    )
