"""Units, and what is known about one: the types that harvest, store, pages and terminal share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from mechscope.neuroscope.unit_html import page_html
from mechscope.neuroscope.unit_text import context_text, page_lines

ContextKind = Literal["top", "low", "quantile", "random"]
"""Why a context is shown: among the highest or lowest activations, at a quantile, or drawn at random."""
_ADDRESS = re.compile(r"(?P<model>.+)/(?P<site>[^/]+)/(?P<unit>\d+)")


@dataclass(frozen=True, order=True)
class UnitAddress:
    """Where a unit is, as it is written everywhere: `model/site/unit`.

    >>> UnitAddress.parse("mini-gelu-1l/mlp0/17")
    UnitAddress(model='mini-gelu-1l', site='mlp0', unit=17)
    >>> str(UnitAddress("mini-gelu-1l", "mlp0", 17))
    'mini-gelu-1l/mlp0/17'
    """

    model: str
    """The model's name for `load_model`."""
    site: str
    """The name of the site: "mlp0", "attn0.entropy", or a dictionary's name."""
    unit: int
    """The index of the unit at its site."""

    @classmethod
    def parse(cls, text: str) -> UnitAddress:
        """The address written as `model/site/unit`.

        Raises:
            ValueError: for text that is no address.
        """
        found = _ADDRESS.fullmatch(text)
        if found is None:
            raise ValueError(
                f"{text!r} is not the address of a unit: write MODEL/SITE/UNIT, as in mini-gelu-1l/mlp0/17."
            )
        return cls(found["model"], found["site"], int(found["unit"]))

    def __str__(self) -> str:
        return f"{self.model}/{self.site}/{self.unit}"


def as_names(names: str | Sequence[str]) -> Sequence[str]:
    """Names of sites, of which a single one may be given by itself."""
    return (names,) if isinstance(names, str) else names


@dataclass(frozen=True)
class Context:
    """A piece of text and a unit's activation on every token of it."""

    kind: ContextKind
    """Why this context was kept."""
    value: float
    """The activation at `focus`."""
    document: str
    """The name of the document that it comes from."""
    tokens: tuple[str, ...]
    """The tokens as text."""
    values: tuple[float, ...]
    """The unit's activation on each token."""
    focus: int
    """The index of the token for which the context was kept."""
    quantile: float | None = None
    """For quantile contexts, the share of activations below this one, in [0, 1]."""
    ids: tuple[int, ...] = field(default=(), compare=False, repr=False)
    """The ids of the tokens, from which the text can be rebuilt where a token is only a part of a character."""

    def __repr__(self) -> str:
        return f"Context({self.kind}, {self.value:.3g}: {context_text(self)})"


@dataclass(frozen=True)
class UnitStatistics:
    """How a unit's activations are distributed over the tokens that were read."""

    tokens: int
    """The number of tokens that count: without the attention sinks that were left out."""
    firing_rate: float
    """The share of tokens with a positive activation."""
    mean: float
    variance: float
    """The mean squared distance from the mean."""
    skewness: float
    """The third standardised moment; 0 for a symmetric distribution, NaN for a unit that never changes."""
    kurtosis: float
    """The fourth standardised moment minus 3; 0 for a normal distribution, NaN for a unit that never changes."""
    maximum: float
    minimum: float


@dataclass(frozen=True)
class Histogram:
    """Counts of activations between edges."""

    edges: tuple[float, ...]
    """The borders of the bins, ascending; one more than there are bins."""
    counts: tuple[int, ...]
    """The number of activations between each edge and the next. An activation on an edge is in the bin that is farther
    from 0."""

    def __repr__(self) -> str:
        low, high = self.edges[0], self.edges[-1]
        return f"Histogram({sum(self.counts):,} activations in {len(self.counts)} bins from {low:.3g} to {high:.3g})"


@dataclass(frozen=True)
class LogitEffects:
    """The tokens whose logits a unit raises and lowers the most through its direct path to the output."""

    promoted: tuple[tuple[str, float], ...]
    """Tokens with the effect of an activation of 1 on their logit, the largest first."""
    suppressed: tuple[tuple[str, float], ...]
    """The same, the most negative first."""


@dataclass(frozen=True)
class Neighbour:
    """Another unit that resembles a unit."""

    address: UnitAddress
    similarity: float
    """The cosine of the output weights, or the correlation of the activations, in [-1, 1]."""


@dataclass(frozen=True)
class UnitPage:
    """Everything that is stored about a unit; in a notebook, its strongest contexts are shown with coloured tokens.

    >>> from mechscope import neuroscope
    >>> with neuroscope.open_store("mini-gelu-1l") as store:
    ...     page = store.unit("mlp0/94")
    >>> strongest = page.contexts_of("top")[0]
    >>> strongest.tokens[strongest.focus].isspace()
    True
    """

    address: UnitAddress
    statistics: UnitStatistics
    histogram: Histogram
    contexts: tuple[Context, ...]
    """Grouped by kind, in the order in which they are shown."""
    logit_effects: LogitEffects | None
    """None for units without output weights, such as attention heads."""
    by_weights: tuple[Neighbour, ...]
    """The units of the same site with the most similar output weights."""
    by_activation: tuple[Neighbour, ...]
    """The units whose activations correlate most with this one's."""

    def __repr__(self) -> str:
        return page_lines(self)

    def _repr_html_(self) -> str:
        return page_html(self)

    def contexts_of(self, kind: ContextKind) -> tuple[Context, ...]:
        """The contexts of one kind."""
        return tuple(context for context in self.contexts if context.kind == kind)
