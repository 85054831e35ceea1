"""Texts that are in memory already, as a corpus."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from mechscope.arguments import shown
from mechscope.neuroscope.corpus.documents import Document, cut_into_documents
from mechscope.neuroscope.corpus.opening import Corpus, Report, log


@dataclass(frozen=True)
class GivenTexts(Corpus):
    """A corpus of texts in memory; get it from `corpus_of_texts`."""

    texts: Mapping[str, str] = field(default_factory=dict[str, str])
    """Each with its name, in the order in which they are read."""

    def documents(self, report: Report = log.warning) -> Iterator[Document]:
        for name, text in self.texts.items():
            yield from cut_into_documents(name, text.replace("\r\n", "\n"))

    def check(self) -> None:
        if not any(text.strip() for text in self.texts.values()):
            raise ValueError(f"{self.names[0]} have no letters: give some texts to read.")

    def __repr__(self) -> str:
        return f"{self.description}, {sum(map(len, self.texts.values())):,} characters"


def corpus_of_texts(texts: Iterable[str] | Mapping[str, str], name: str = "texts") -> Corpus:
    """A corpus of texts in memory, such as a list of prompts.

    >>> corpus = corpus_of_texts(["One line.", "Two lines."])
    >>> [document.name for document in corpus.documents()]
    ['text 1', 'text 2']

    Args:
        texts: the texts, or texts by their names, which units' pages show.
        name: what pages call the corpus.

    Raises:
        ValueError: for one text in place of several, or something that is no text.
    """
    if isinstance(texts, str):
        raise ValueError(
            "corpus_of_texts takes several texts: put the one into a list, or give a file's name to open_corpus."
        )
    named = (
        dict(texts)
        if isinstance(texts, Mapping)
        else {f"text {number}": text for number, text in enumerate(texts, start=1)}
    )
    for title, text in named.items():
        if not isinstance(text, str):
            raise ValueError(f"{title} is {shown(text)}, and not a text.")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            half = ascii(text[error.start])
            raise ValueError(
                f"{title} has half of a surrogate pair ({half}), which no tokenizer reads."
            ) from error
    digest = hashlib.blake2b(digest_size=6)
    for part in (part for each in named.items() for part in each):
        digest.update(f"{len(part)} {part}".encode())
    # The digest lets a harvest find out that the texts are no longer the same.
    return GivenTexts((f"{name} ({len(named):,}, checksum {digest.hexdigest()})",), texts=named)
