"""Texts that need no network, by name."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Iterator

NAMED_CORPORA = {
    "library": "the source code of Python's standard library",
    "docstrings": "the documentation in the standard library's source code",
    "held-out": "modules of the standard library that no bundled model was trained on",
    "books": "public-domain books (needs MECHSCOPE_DATA)",
}
"""Name of a text → what it is."""


def describe_named(name: str) -> str:
    """What a named text is, with the version that decides its contents."""
    version = "" if name == "books" else f", Python {platform.python_version()}"
    return f"{NAMED_CORPORA[name]}{version}"


def named_texts(name: str) -> Iterator[tuple[str, str]]:
    """The texts under one name, with their own names.

    They come in the order of a hash of their names, so that the beginning of a corpus is a fair sample of it.

    Raises:
        FileNotFoundError: if this machine does not have the text; says how to fix it.
    """
    texts = _READERS[name]()
    for title in sorted(texts, key=lambda title: hashlib.sha256(title.encode()).digest()):
        yield title, texts[title]


def _library() -> dict[str, str]:
    from mechscope.data.python_code import read_standard_library

    return read_standard_library()


def _docstrings() -> dict[str, str]:
    # Imported late, because it loads torch.
    from mechscope.dictionaries.sources.texts import docstrings

    return {name: docstrings(source) for name, source in _library().items()}


def _held_out() -> dict[str, str]:
    from mechscope.data.python_code import HELD_OUT_CODE

    library = _library()
    return {name: library[name] for name in HELD_OUT_CODE if name in library}


def _books() -> dict[str, str]:
    from mechscope.data.books import books_archive, read_books

    return read_books(books_archive())


_READERS: dict[str, Callable[[], dict[str, str]]] = {
    "library": _library,
    "docstrings": _docstrings,
    "held-out": _held_out,
    "books": _books,
}
