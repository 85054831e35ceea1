"""What units did on text that their pages do not show."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int

from mechscope.arguments import brief_repr
from mechscope.neuroscope.corpus import Corpus, open_corpus
from mechscope.neuroscope.corpus.named_texts import NAMED_CORPORA, describe_named
from mechscope.neuroscope.labels.text_spans import Tokens
from mechscope.neuroscope.sample_pass import Sample, read_sample
from mechscope.neuroscope.sequences import Cutter
from mechscope.neuroscope.whole_characters import whole_characters

if TYPE_CHECKING:
    from mechscope.neuroscope.corpus.documents import Document
    from mechscope.neuroscope.opening import OpenedModel
    from mechscope.neuroscope.settings import HarvestSettings
    from mechscope.neuroscope.units import Context

DRAWN_FROM = 20_000
"""More text is drawn from at most so many documents, the first of a corpus."""


@dataclass(frozen=True)
class Readings:
    """The activations of some units of a site, on sequences one after another."""

    texts: tuple[Tokens, ...]
    """The tokens of each sequence."""
    documents: tuple[str, ...]
    """The document of each sequence."""
    units: tuple[int, ...]
    """The units, in the order of the columns."""
    values: Float[np.ndarray, "token column"]
    counted: Bool[np.ndarray, " token"]
    """False for attention sinks, and for text that the unit's page shows."""
    spelled: tuple[Tokens, ...] = ()
    """The same texts with whole characters (see `whole_characters`), for rules about text; empty if they are equal."""

    __repr__ = brief_repr

    def of(self, unit: int) -> Float[np.ndarray, " token"]:
        """The activations of one unit."""
        return self.values[:, self.units.index(unit)]

    def only(self, units: Sequence[int]) -> Readings:
        """The activations of some of the units."""
        columns = [self.units.index(unit) for unit in units]
        return dataclasses.replace(self, units=tuple(units), values=self.values[:, columns])

    @property
    def sequence(self) -> Int[np.ndarray, " token"]:
        """The index of each token's sequence."""
        return np.repeat(np.arange(len(self.texts)), [len(tokens) for tokens in self.texts])

    @property
    def document(self) -> Int[np.ndarray, " token"]:
        """A number for each token's document."""
        numbers = {name: number for number, name in enumerate(dict.fromkeys(self.documents))}
        return np.array([numbers[name] for name in self.documents], np.int64)[self.sequence]

    @property
    def is_shown(self) -> Bool[np.ndarray, " token"]:
        """Whether a token's document is one that evidence comes from, and that is therefore not scored."""
        return np.array([shows_evidence(name) for name in self.documents], bool)[self.sequence]

    def held_out(self, shown: Sequence[Context], same: int) -> Readings:
        """Without the documents of these contexts, and without tokens that repeat one of them.

        Args:
            shown: the contexts that are not to be tested on.
            same: a token repeats a context if the last so many tokens up to it are the same.
        """
        known = {context.document for context in shown}
        keep = np.array([name not in known for name in self.documents], bool)
        rows = keep[self.sequence]
        counted = self.counted & ~self._repeats(shown, same)
        chosen = np.flatnonzero(keep).tolist()
        return dataclasses.replace(
            self,
            texts=tuple(self.texts[number] for number in chosen),
            documents=tuple(self.documents[number] for number in chosen),
            values=self.values[rows],
            counted=counted[rows],
            spelled=tuple(self.spelled[number] for number in chosen) if self.spelled else (),
        )

    def _repeats(self, shown: Sequence[Context], same: int) -> Bool[np.ndarray, " token"]:
        # A harvest that keeps few activations before a token shows fewer tokens than `same`.
        endings: dict[int, set[Tokens]] = {}
        for context in shown:
            ending = context.tokens[max(0, context.focus + 1 - same) : context.focus + 1]
            endings.setdefault(len(ending), set()).add(ending)
        return np.array(
            [
                any(tokens[max(0, place + 1 - size) : place + 1] in known for size, known in endings.items())
                for tokens in self.texts
                for place in range(len(tokens))
            ],
            bool,
        )

    def __add__(self, other: Readings) -> Readings:
        """These and more, of the same units."""
        return Readings(
            self.texts + other.texts,
            self.documents + other.documents,
            self.units,
            np.concatenate([self.values, other.values]),
            np.concatenate([self.counted, other.counted]),
            (self.spelled or self.texts) + (other.spelled or other.texts),
        )


def shows_evidence(document: str) -> bool:
    """Whether evidence may come from a document: from one in five, always the same ones."""
    return hashlib.sha256(document.encode()).digest()[0] % 5 == 0


def read_units(
    opened: OpenedModel,
    site: str,
    units: Sequence[int] | None,
    settings: HarvestSettings,
    sample: Sample,
    vocabulary: dict[int, str],
) -> Readings:
    """Run the model on sequences and read some units.

    Args:
        opened: the model, with the site among its sites.
        units: which units; None means all.
        vocabulary: the text of each token.
    """
    (wanted,) = [each for each in opened.sites if each.name == site]
    (read,) = read_sample(opened.model, [wanted], settings, sample)
    chosen = tuple(range(wanted.units) if units is None else units)
    ids = [tokens.tolist() for tokens in sample.tokens]
    texts = tuple(tuple(vocabulary[token] for token in tokens) for tokens in ids)
    return Readings(
        texts,
        sample.documents,
        chosen,
        (read.values if units is None else read.values[:, list(chosen)]).numpy(),
        read.counts.numpy(),
        tuple(
            whole_characters(opened.model.tokenizer, tokens, text)
            for tokens, text in zip(ids, texts, strict=True)
        ),
    )


def more_sequences(
    opened: OpenedModel, settings: HarvestSettings, documents: Iterable[Document], tokens: int
) -> Iterator[Sample]:
    """Sequences of documents, in samples of about so many tokens."""
    cutter = Cutter(opened.model, settings)
    names, parts, size = list[str](), list[np.ndarray](), 0
    for document in documents:
        for sequence in cutter.sequences(document.text):
            names.append(document.name)
            parts.append(sequence)
            size += len(sequence)
        if size >= tokens:
            yield Sample(tuple(range(len(parts))), tuple(names), tuple(parts))
            names, parts, size = [], [], 0
    if parts:
        yield Sample(tuple(range(len(parts))), tuple(names), tuple(parts))


def drawn_documents(corpus: Corpus, without: set[str], seed: int) -> list[Document]:
    """The documents of a corpus in a random order, without some of them.

    Args:
        without: names of documents.

    Raises:
        FileNotFoundError, ImportError, KeyError: for a corpus that cannot be read.
    """
    first = islice(corpus.documents(), DRAWN_FROM)

    def lot(document: Document) -> bytes:
        return hashlib.sha256(f"{seed} {document.name}".encode()).digest()

    return sorted((document for document in first if document.name not in without), key=lot)


def corpus_of(description: str, field: str = "text") -> Corpus | None:
    """The corpus of a harvest, from its description; None if it cannot be found again.

    >>> found = corpus_of(describe_named("library"))
    >>> found.names if found else None
    ('library',)

    Args:
        field: the field of JSON Lines and data sets that has the text.
    """
    # Imported late: it brings all that a harvest needs.
    from mechscope.neuroscope.ready import OwnSource

    if description == (own := OwnSource()).description:
        return own
    named = {describe_named(name): name for name in NAMED_CORPORA}
    try:
        return open_corpus([named.get(part, part) for part in description.split(" and ")], field)
    except (OSError, ValueError):
        return None
