"""Cut long texts into documents, at the ends of paragraphs where possible."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

MOST_CHARACTERS = 4_000
"""Longer texts are cut into documents of at most this many characters: about a thousand tokens."""
_BORDERS = ("\n\n", "\n", " ")
"""Where a text is cut: the last end of a paragraph, or else of a line, or else of a word."""


class Document(NamedTuple):
    """A piece of text. No unit gets two top contexts from one document."""

    name: str
    """Where it comes from: a file's name, a line of a file, a row of a data set."""
    text: str


def cut_into_documents(
    name: str, text: str | Iterable[str], at_most: int = MOST_CHARACTERS
) -> Iterator[Document]:
    """The documents of a text, which together are the whole text; pieces without any letter or sign are left out.

    >>> for document in cut_into_documents("poem", "One line.\\n\\nAnother line.\\nA third one.", at_most=16):
    ...     print(document)
    Document(name='poem', text='One line.\\n\\n')
    Document(name='poem, part 2', text='Another line.\\n')
    Document(name='poem, part 3', text='A third one.')

    Args:
        name: the name of the text, made `readable`. Documents after the first one get a number.
        text: the text, or its chunks one after another. Where it is chunked makes no difference.
        at_most: the most characters of a document.
    """
    name = readable(name)
    for part, piece in enumerate(_pieces((text,) if isinstance(text, str) else text, at_most), start=1):
        if piece.strip():
            yield Document(name if part == 1 else f"{name}, part {part}", piece)


def readable(name: str) -> str:
    """A file's name as text that can be stored: it may have bytes that are no text, which become question marks.

    >>> readable("caf\\udce9.txt")
    'caf?.txt'
    """
    return name.encode(errors="replace").decode()


def _pieces(chunks: Iterable[str], at_most: int) -> Iterator[str]:
    rest = ""
    for chunk in chunks:
        rest += chunk
        start = 0
        # Only when a character beyond the limit is known is there something to cut off.
        while len(rest) - start > at_most:
            end = _border(rest, start, start + at_most)
            yield rest[start:end]
            start = end
        rest = rest[start:]
    if rest:
        yield rest


def _border(text: str, start: int, end: int) -> int:
    """Where to cut: after the last border, unless the piece were less than half of what is allowed; or else `end`."""
    half = (start + end) // 2
    for border in _BORDERS:
        found = text.rfind(border, max(start, half - len(border)), end)
        if found >= 0:
            return found + len(border)
    return end
