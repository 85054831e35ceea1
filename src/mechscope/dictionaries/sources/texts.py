"""Text to read activations on: named texts and the user's own files, each with a held-out part."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from mechscope.data.books import books_archive, read_books
from mechscope.data.python_code import HELD_OUT_CODE, read_standard_library
from mechscope.dictionaries._seeding import seeded
from mechscope.near_names import did_you_mean
from mechscope.reading import check_name, read_text

NAMED = ("library", "docstrings", "books")
"""Names of texts."""
ENDINGS = (".txt", ".md", ".py", ".rst", ".html", ".tex", ".csv", ".json")
"""Suffixes of the files in a folder that are read."""
PIECE = 50_000
"""Documents are cut into pieces of this many characters, so that the first tokens come from many documents."""
MOST_TEXT = 2**32
"""Size limit of a text file in bytes; the whole file is held in memory."""
FEWEST = 20
"""If there are fewer documents, they are cut into this many pieces, so that some can be held out."""


@dataclass(frozen=True)
class Texts:
    """Pieces of text."""

    train: tuple[str, ...]
    """Pieces to train on, in the order in which they are read."""
    held_out: tuple[str, ...]
    """Pieces to evaluate on."""


def read_texts(text: str, seed: int) -> Texts:
    """The pieces of a named text, of a file, or of the text files in a folder.

    Of the standard library, the modules are held out that no bundled model was trained on. Of other text, a random
    tenth of the documents is held out (or of their pieces, if there are few documents).

    Raises:
        FileNotFoundError: for a path that does not exist (suggests the closest names), and for missing books.
        ValueError: for files that are not text, or too little text to hold out a part of it.
    """
    if text in ("library", "docstrings"):
        documents = read_standard_library()
        if text == "docstrings":
            documents = {name: docstrings(source) for name, source in documents.items()}
        held_out = [documents.pop(name) for name in HELD_OUT_CODE if name in documents]
        return Texts(_in_pieces(documents, seed), tuple(held_out))
    documents = read_books(books_archive()) if text == "books" else _read_path(text)
    if len(documents) < FEWEST:
        total = sum(map(len, documents.values()))
        size = max(1, -(-total // FEWEST))
        documents = {
            f"{name} {start}": whole[start : start + size]
            for name, whole in documents.items()
            for start in range(0, len(whole), size)
        }
    names = sorted(documents)
    if len(names) < 2:
        raise ValueError(f"there is too little text at {text} to hold out a part of it.")
    order = torch.randperm(len(names), generator=seeded(seed, 31)).tolist()
    kept = {names[index] for index in order[: max(1, len(names) // 10)]}
    held_out = tuple(documents[name] for name in names if name in kept)
    return Texts(_in_pieces({name: documents[name] for name in names if name not in kept}, seed), held_out)


def docstrings(source: str) -> str:
    """The documentation of a module, its classes and functions, one paragraph each.

    >>> docstrings("'''Adds.'''\\ndef add(): 'Add two.'")
    'Adds.\\n\\nAdd two.'
    """
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = [ast.get_docstring(node) for node in ast.walk(ast.parse(source)) if isinstance(node, documented)]
    return "\n\n".join(each for each in found if each)


def _read_path(text: str) -> dict[str, str]:
    path = check_name(Path(text).expanduser())
    if not path.exists():
        hint = did_you_mean(text, NAMED, show=repr)
        raise FileNotFoundError(
            f"there is no text {text!r}: it is neither a file or folder nor one of {', '.join(NAMED)}.{hint}"
        )
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file() and file.suffix in ENDINGS)
        if not files:
            raise ValueError(f"{path} has no text files (those that end in {', '.join(ENDINGS)}).")
    found: dict[str, str] = {}
    for file in files:
        found[str(file)] = read_text(file, at_most=MOST_TEXT).replace("\r\n", "\n")
    return {name: whole for name, whole in found.items() if whole.strip()}


def _in_pieces(documents: Mapping[str, str], seed: int) -> tuple[str, ...]:
    pieces = [
        whole[start : start + PIECE]
        for _, whole in sorted(documents.items())
        for start in range(0, len(whole), PIECE)
    ]
    return tuple(pieces[index] for index in torch.randperm(len(pieces), generator=seeded(seed, 32)).tolist())
