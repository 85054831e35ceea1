"""What the neuroscope's pages are told: the same from the server and from the files of a static site.

Numbers are rounded to five digits, because they are drawn or read, not computed with. Does not load torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from mechscope.neuroscope.labels.summary import labels_in_words
from mechscope.neuroscope.units import Context, Neighbour, UnitPage
from mechscope.pages.endpoints import Length
from mechscope.settings import Range, Settings

Name = Annotated[str, Length(least=1, most=200)]
UnitIndex = Annotated[int, Range(least=0, most=10**9)]
Change = Literal["zero", "add", "multiply"]
"""What can be done to a unit: its activation set to zero, or added to; a head's output set to zero, or multiplied."""


@dataclass(frozen=True, kw_only=True)
class SiteLine(Settings):
    """A place in a model where units are read."""

    name: str
    """Its name, as in the address of a unit."""
    units: int
    """How many units it has."""
    words: str
    """What a unit of it is, in words: "neuron of layer 0"."""
    signed: bool
    """Whether negative activations mean something, so that the lowest contexts are shown too."""
    left_out: int
    """How many tokens were left out because attention rests on them."""
    in_browser: bool
    """Whether the browser can run the model and read these units."""


@dataclass(frozen=True, kw_only=True)
class StoreLine(Settings):
    """A store of units."""

    model: str
    """The model whose units they are."""
    corpus: str
    """The texts that were read, in words."""
    tokens: int
    """How many tokens were read."""
    documents: int
    """From how many documents they came."""
    sites: tuple[SiteLine, ...]
    """Where units were read."""


@dataclass(frozen=True, kw_only=True)
class Stores(Settings):
    """The stores on this machine."""

    stores: tuple[StoreLine, ...]
    """Those that come with mechscope first."""
    problems: tuple[str, ...] = ()
    """Why some stores cannot be read, a sentence for each."""


@dataclass(frozen=True, kw_only=True)
class SiteRequest(Settings):
    """A site of a store."""

    model: Name
    """The model."""
    site: Name
    """The site."""


@dataclass(frozen=True, kw_only=True)
class UnitRequest(SiteRequest):
    """A unit."""

    unit: UnitIndex
    """Its index at the site."""


@dataclass(frozen=True, kw_only=True)
class Unchecked(Settings):
    """A part of an answer with thousands of numbers: checking each of them takes longer than reading the store."""

    def __post_init__(self) -> None:
        pass


@dataclass(frozen=True, kw_only=True)
class StatisticsPart(Unchecked):
    """How a unit's activations are distributed; null for what is not defined."""

    tokens: int
    firing_rate: float | None
    mean: float | None
    variance: float | None
    skewness: float | None
    kurtosis: float | None
    maximum: float | None
    minimum: float | None


@dataclass(frozen=True, kw_only=True)
class HistogramPart(Unchecked):
    """Counts of activations between edges."""

    edges: tuple[float, ...]
    """One more than there are counts."""
    counts: tuple[int, ...]
    """The number of activations from each edge up to the next."""


@dataclass(frozen=True, kw_only=True)
class ContextPart(Unchecked):
    """A piece of text and a unit's activation on every token of it."""

    kind: str
    """Why it is shown: top, low, quantile or random."""
    value: float
    """The activation at `focus`."""
    document: str
    """Where it comes from."""
    tokens: tuple[str, ...]
    """The tokens as text."""
    values: tuple[float | None, ...]
    """The activation on each token; null where it was not read."""
    focus: int
    """The token for which it was kept."""
    quantile: float | None
    """The share of activations below this one, for quantile contexts."""
    ids: tuple[int, ...] = ()
    """The ids of the tokens, where some token is only a part of a character (�): without them its text is lost."""


@dataclass(frozen=True, kw_only=True)
class TokenEffect(Unchecked):
    """What a unit does to the logit of a token."""

    token: str
    """The token as text."""
    effect: float
    """What an activation of 1 adds to its logit."""


@dataclass(frozen=True, kw_only=True)
class LogitPart(Unchecked):
    """The tokens that a unit makes likelier and less likely through its direct path to the output."""

    promoted: tuple[TokenEffect, ...]
    """The largest effects."""
    suppressed: tuple[TokenEffect, ...]
    """The most negative effects."""


@dataclass(frozen=True, kw_only=True)
class NeighbourPart(Unchecked):
    """A unit that resembles another one."""

    site: str
    """Its site."""
    unit: int
    """Its index there."""
    similarity: float | None
    """In [-1, 1]."""


@dataclass(frozen=True, kw_only=True)
class ScorePart(Unchecked):
    """A number that a test of a label gave; null for what is not defined."""

    name: str
    """Its name: AUC, precision, recall …"""
    value: float | None
    low: float | None
    """The lower end of its 95 % interval; null if it has none."""
    high: float | None
    """The upper end."""


@dataclass(frozen=True, kw_only=True)
class EvidencePart(Unchecked):
    """Texts on which a label's rule and its unit disagree, or nearly do."""

    kind: str
    """Missed, false alarms or near misses."""
    heading: str
    """What these texts are, in words."""
    contexts: tuple[ContextPart, ...]


@dataclass(frozen=True, kw_only=True)
class LabelPart(Unchecked):
    """What somebody thinks a unit does."""

    id: int
    """The number of the label in its store."""
    site: str
    """The site of the unit that has the label."""
    unit: int
    """Its index there."""
    text: str
    """The label."""
    rule: str
    """The rule by which it is tested, with its kind; empty if it has none."""
    verdict: str
    """Whether it holds; empty before it is scored."""
    because: str
    """Why, in a sentence."""
    scores: tuple[ScorePart, ...]
    """The numbers."""
    created: str
    """When it was written (ISO 8601 in UTC)."""
    scored: str
    """When it was tested; empty before."""
    evidence: tuple[EvidencePart, ...] = ()
    """Only with everything else about a unit: a list of all labels would be long with it."""


@dataclass(frozen=True, kw_only=True)
class LabelsRequest(Settings):
    """A store whose labels are wanted."""

    model: Name
    """The model."""


@dataclass(frozen=True, kw_only=True)
class Labels(Unchecked):
    """All labels of a store."""

    labels: tuple[LabelPart, ...]
    """The oldest first."""


@dataclass(frozen=True, kw_only=True)
class SequencePart(Unchecked):
    """The tokens from the beginning of a sequence up to the one for which a context was kept."""

    ids: tuple[int, ...]
    """Their ids."""
    strings: tuple[str, ...]
    """Each of them as text."""


@dataclass(frozen=True, kw_only=True)
class UnitAnswer(Unchecked):
    """Everything that is stored about a unit."""

    model: str
    """The model."""
    site: str
    """The site."""
    unit: int
    """Its index at the site."""
    statistics: StatisticsPart
    histogram: HistogramPart
    contexts: tuple[ContextPart, ...]
    """In the order in which they are shown."""
    logits: LogitPart | None
    """Null for units without output weights."""
    by_weights: tuple[NeighbourPart, ...]
    """Units with similar output weights."""
    by_activation: tuple[NeighbourPart, ...]
    """Units that are active at the same time."""
    labels: tuple[LabelPart, ...]
    """What it was labelled."""
    labels_in_words: str
    """How many labels it has, and how many hold; empty without any."""
    sequences: tuple[SequencePart, ...]
    """For an attention head: the sequences of its quantile contexts, in the same order, whose patterns are shown."""


@dataclass(frozen=True, kw_only=True)
class SearchRequest(Settings):
    """Words to look for in the contexts and labels of a store."""

    model: Name
    """The model."""
    words: Annotated[str, Length(least=1, most=500)]
    """The words."""


@dataclass(frozen=True, kw_only=True)
class Finding(Settings):
    """A unit that a search found."""

    site: str
    """Its site."""
    unit: int
    """Its index there."""
    why: str
    """Where the words are, with some text around them."""


@dataclass(frozen=True, kw_only=True)
class Findings(Settings):
    """What a search found."""

    found: tuple[Finding, ...]
    """The best first."""
    more: bool = False
    """Whether there are more than these."""


def unit_answer(
    page: UnitPage, labels: tuple[LabelPart, ...] = (), sequences: tuple[SequencePart, ...] = ()
) -> UnitAnswer:
    """A unit's page as it is sent."""
    statistics, effects = page.statistics, page.logit_effects
    return UnitAnswer(
        model=page.address.model,
        site=page.address.site,
        unit=page.address.unit,
        statistics=StatisticsPart(
            tokens=statistics.tokens,
            **{
                name: finite(getattr(statistics, name))
                for name in StatisticsPart.__dataclass_fields__
                if name != "tokens"
            },
        ),
        histogram=HistogramPart(
            edges=tuple(short(edge) for edge in page.histogram.edges), counts=page.histogram.counts
        ),
        contexts=tuple(map(context_part, page.contexts)),
        logits=None
        if effects is None
        else LogitPart(promoted=_effects(effects.promoted), suppressed=_effects(effects.suppressed)),
        by_weights=tuple(map(_neighbour, page.by_weights)),
        by_activation=tuple(map(_neighbour, page.by_activation)),
        labels=labels,
        labels_in_words=labels_in_words([label.verdict for label in labels]) if labels else "",
        sequences=sequences,
    )


def context_part(context: Context) -> ContextPart:
    """A context as it is sent."""
    return ContextPart(
        kind=context.kind,
        value=short(context.value),
        document=context.document,
        tokens=context.tokens,
        values=tuple(finite(value) for value in context.values),
        focus=context.focus,
        quantile=context.quantile,
        ids=context.ids if any("\ufffd" in token for token in context.tokens) else (),
    )


def _effects(effects: tuple[tuple[str, float], ...]) -> tuple[TokenEffect, ...]:
    return tuple(TokenEffect(token=token, effect=short(effect)) for token, effect in effects)


def _neighbour(neighbour: Neighbour) -> NeighbourPart:
    address = neighbour.address
    return NeighbourPart(site=address.site, unit=address.unit, similarity=finite(neighbour.similarity))


def finite(value: float) -> float | None:
    """A rounded number, or None for what JSON cannot write.

    >>> finite(1.23456789), finite(float("nan"))
    (1.2346, None)
    """
    return short(value) if math.isfinite(value) else None


def short(value: float) -> float:
    """A number with five digits.

    >>> short(0.000123456789), short(1234567.0)
    (0.00012346, 1234600.0)
    """
    return float(f"{value:.5g}")
