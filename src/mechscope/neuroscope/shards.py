"""Shards: runs of consecutive documents, the pieces of work into which a corpus is divided."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

ID_DIGITS = 16
"""Hexadecimal digits of the digest in a shard's id."""

Document = tuple[str, str]
"""A document's name and its text."""


@dataclass(frozen=True)
class Shard:
    """A run of consecutive documents of a corpus.

    >>> Shard(3, (("a.txt", "Once upon a time"),)).id
    '00000003-d81f9dc2a7a5fa9b'
    """

    index: int
    """Its place in the corpus, from 0."""
    documents: tuple[Document, ...]
    """Names and texts."""

    def __post_init__(self) -> None:
        if self.index < 0:
            raise ValueError(f"a shard's index counts from 0; it cannot be {self.index}.")

    @cached_property
    def id(self) -> str:
        """Its index and a digest of the names and texts, so that a shard of changed text has another id."""
        digest = hashlib.blake2b(digest_size=ID_DIGITS // 2)
        for document in self.documents:
            for part in document:
                encoded = part.encode("utf-8", "surrogatepass")
                # The length goes first, so that two ways to divide the same characters differ.
                digest.update(len(encoded).to_bytes(8, "little"))
                digest.update(encoded)
        return f"{self.index:08d}-{digest.hexdigest()}"

    @property
    def characters(self) -> int:
        """The number of characters of all texts."""
        return sum(len(text) for _, text in self.documents)


def shards_of(documents: Iterable[Document], characters: int) -> Iterator[Shard]:
    """Divide documents into shards that are full when they have `characters` characters; the last may have fewer.

    >>> [len(shard.documents) for shard in shards_of([("a", "xx"), ("b", "xx"), ("c", "x")], 4)]
    [2, 1]

    Raises:
        ValueError: for shards of no characters.
    """
    if characters < 1:
        raise ValueError(f"a shard has at least 1 character, not {characters}.")
    index, waiting, length = 0, list[Document](), 0
    for name, text in documents:
        waiting.append((name, text))
        length += len(text)
        if length >= characters:
            yield Shard(index, tuple(waiting))
            index, waiting, length = index + 1, [], 0
    if waiting:
        yield Shard(index, tuple(waiting))
