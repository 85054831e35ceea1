"""What publishing puts into a store, in memory: sequences, vocabulary, and one site after another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from mechscope.arguments import brief_repr
from mechscope.neuroscope.statistics import SiteStatistics
from mechscope.neuroscope.units import ContextKind


@dataclass(frozen=True)
class About:
    """Where a store's contents come from."""

    model: str
    """The model's name for `load_model`."""
    weights: str
    """The checksum of the model's weights."""
    corpus: str
    """The corpus in words."""
    tokens: int
    """How many tokens were read, begin tokens and attention sinks included."""
    documents: int
    """How many documents were read."""
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The settings of the harvest."""
    site_inputs: Mapping[str, str] = field(default_factory=dict[str, str])
    """For each site that reads files besides the model (a dictionary, directions), their checksum."""
    co_activation_tokens: int = 0
    """At how many tokens of the sample units were compared with each other, before attention sinks were left out."""
    published: str = ""
    """When the contents were written (ISO 8601 in UTC); set by the store."""
    publication: int = 0
    """How often contents were written to this store; set by the store."""


@dataclass(frozen=True)
class StoredSequence:
    """A sequence of tokens that contexts refer to."""

    id: int
    """Its number, unique in a store."""
    document: str
    """The name of the document that it comes from."""
    tokens: Int[np.ndarray, " pos"]
    counted: Bool[np.ndarray, " pos"] | None = None
    """For a sequence of the random sample: False for attention sinks. None for all other sequences."""

    __repr__ = brief_repr


@dataclass(frozen=True)
class StoredContext:
    """A context by reference."""

    kind: ContextKind
    value: float
    """The activation at `focus`."""
    sequence: int
    """The id of the sequence."""
    focus: int
    """The position in the sequence."""
    token: int
    """The token at this position."""
    start: int
    """The position of the first token that is shown."""
    activations: Float[np.ndarray, " window"]
    """The activations on the tokens that are shown."""
    quantile: float | None = None
    """For quantile contexts, the share of activations below this one."""

    __repr__ = brief_repr


@dataclass(frozen=True)
class StoredUnit:
    """What is stored about a unit besides its statistics."""

    contexts: tuple[StoredContext, ...]
    """Those of one kind in the order in which they are shown."""
    promoted: tuple[tuple[int, float], ...] | None = None
    """Tokens with the effect on their logit, the largest first; None without output weights."""
    suppressed: tuple[tuple[int, float], ...] | None = None
    """The same, the most negative first."""
    by_weights: tuple[tuple[int, float], ...] = ()
    """Units of the same site with their similarity."""


@dataclass(frozen=True)
class SiteContents:
    """A site with all its units."""

    name: str
    source: str
    """What `find_sites` needs to find it again."""
    signed: bool
    """Whether negative activations matter as much as positive ones."""
    left_out: int
    """How many tokens were left out as attention sinks."""
    statistics: SiteStatistics
    edges: Float[np.ndarray, " edge"]
    """The borders of the histograms' bins, ascending."""
    counts: Int[np.ndarray, "unit bin"]
    """How many activations are in each bin."""
    units: Iterable[StoredUnit]
    """One per unit, in order; read once."""

    __repr__ = brief_repr


@dataclass(frozen=True)
class CoActivation:
    """The units whose activations correlate most with those of one unit."""

    site: str
    unit: int
    neighbours: tuple[tuple[str, int, float], ...]
    """As (site, unit, correlation), the highest first."""


@dataclass(frozen=True)
class Contents:
    """All that a publication writes.

    The parts are read once each and in this order, so they may be generators, and a later one may depend on what an
    earlier one has seen.
    """

    about: About
    vocabulary: Iterable[tuple[int, str]]
    """Every token with its text."""
    site_sizes: Mapping[str, int]
    """The number of units of each site, in the order of `sites`."""
    sites: Iterable[SiteContents]
    sequences: Iterable[StoredSequence]
    """Those that contexts refer to, and those of the random sample."""
    co_activation: Iterable[CoActivation]
