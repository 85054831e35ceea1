"""Which units fire on a text, in the order of how unusual that is for them.

Activations of different units cannot be compared: one unit's largest may be another's everyday value. So a unit's
highest activation on the text is compared with all of its own activations in the harvest. The measure is the share of
the harvest's tokens at which the unit was at least as active, read from its histogram, and the smallest share comes
first. It is rounded up to whole bins, a quarter of an octave each. Among equal shares, the activation divided by the
unit's maximum decides. At a site where the sign matters, the lowest activation is compared in the same way, and the
more unusual of the two is taken.

A long text gives every unit more chances: among 100 tokens, a share of one in a hundred is to be expected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from mechscope.dictionaries.sources.models import model_checksum
from mechscope.neuroscope.opening import OpenedModel, check_inputs
from mechscope.neuroscope.sample_pass import Sample, read_sample
from mechscope.neuroscope.sequences import Cutter
from mechscope.neuroscope.settings import HarvestSettings
from mechscope.neuroscope.unit_text import shown_token
from mechscope.neuroscope.units import UnitAddress, as_names
from mechscope.settings import decode

if TYPE_CHECKING:
    from mechscope.neuroscope.statistics import SiteStatistics
    from mechscope.neuroscope.store import NeuroscopeStore


BEFORE = 5
"""How many tokens are shown before the one at which a unit fires."""


@dataclass(frozen=True)
class FiredUnit:
    """A unit's most unusual activation on a text."""

    address: UnitAddress
    value: float
    """The activation."""
    position: int
    """The index of the token."""
    share: float
    """The share of the harvest's tokens at which the unit was at least as active (for a low activation: at most as
    active), rounded up to whole bins. 0 if it never was."""
    is_low: bool
    """Whether it is unusual for being low."""


@dataclass(frozen=True)
class Fired:
    """The units that fire on a text."""

    tokens: tuple[str, ...]
    """The tokens of the text, with a begin token if the model reads one."""
    units: tuple[FiredUnit, ...]
    """The most unusual first."""

    def __repr__(self) -> str:
        heading = f"{len(self.units)} units, the most unusual first: activation, share of tokens, where"
        return "\n".join([heading, *map(self._line, self.units)])

    def _line(self, unit: FiredUnit) -> str:
        before = shown_token("".join(self.tokens[max(0, unit.position - BEFORE) : unit.position]))
        share = f"{unit.share:.3%}" if unit.share else "never"
        low = " (low)" if unit.is_low else ""
        return f"  {unit.address}  {unit.value:.3g}  {share}{low}  {before}[{shown_token(self.tokens[unit.position])}]"


def open_units(store: NeuroscopeStore, sites: str | Sequence[str] = ()) -> OpenedModel:
    """Load the model of a store, to run it on texts.

    Args:
        sites: names of sites of the store; empty for all.

    Raises:
        KeyError: for a site that the store does not have.
        ValueError: if the model's weights, or the files of a dictionary or of directions, are others than those that
            were harvested.
        FileNotFoundError: if the model is not there; says how to get it.
    """
    about, known = store.about, {site.name: site for site in store.sites()}
    with store.reader.snapshot() as snapshot:
        sources = [snapshot.site(name).source for name in as_names(sites) or known]
    weights = model_checksum(about.model)
    if weights != about.weights:
        raise ValueError(
            f"{about.model} has other weights now (checksum {weights}) than those that were harvested "
            f"({about.weights}): harvest it again."
        )
    opened = OpenedModel.open(about.model, sources, torch.device("cpu"))
    check_inputs(store, opened.sites)
    return opened


def fire(
    store: NeuroscopeStore,
    text: str,
    *,
    opened: OpenedModel | None = None,
    sites: str | Sequence[str] = (),
    limit: int = 20,
) -> Fired:
    """The units that fire on a text, in the order of how unusual their activation is (see the module's docstring).

    >>> from mechscope.neuroscope import open_store
    >>> with open_store("mini-gelu-1l") as store:
    ...     found = fire(store, "This is the end.\\n\\nimport os", sites=["mlp0"], limit=5)
    >>> 109 in [unit.address.unit for unit in found.units]
    True
    >>> "".join(found.tokens)
    '<|bos|>This is the end.\\n\\nimport os'

    Args:
        opened: the model from `open_units`; None loads it.
        sites: names of sites of the store; empty for all. With `opened`, its sites are taken.
        limit: how many units at most.

    Raises:
        KeyError: for a site that the store does not have.
        ValueError: for a text without tokens that count, or a model with other weights.
    """
    settings = decode(HarvestSettings, dict(store.about.settings), "the settings of the store")
    opened = opened or open_units(store, sites)
    sequences = Cutter(opened.model, settings).sequences(text)
    sample = Sample(tuple(range(len(sequences))), ("",) * len(sequences), tuple(sequences))
    units: list[FiredUnit] = []
    counted = 0
    for read in read_sample(opened.model, opened.sites, settings, sample):
        counted += int(read.counts.sum())
        units += unusual_units(store, read.site.name, read.values.numpy(), read.counts.numpy(), limit)
    if not counted:
        raise ValueError(
            "the text has no token that counts: the first token of a text, on which attention rests for lack of "
            "anything better, is left out. Write a few words."
        )
    maxima = {site.name: store.statistics(site.name).maximum for site in store.sites()}
    units.sort(
        key=lambda unit: (unit.share, -abs(unit.value) / _scale(maxima[unit.address.site][unit.address.unit]))
    )
    ids = [token for sequence in sequences for token in sequence.tolist()]
    with store.reader.snapshot() as snapshot:
        texts = snapshot.texts(ids)
    return Fired(tuple(texts[token] for token in ids), tuple(units[:limit]))


def _scale(maximum: float) -> float:
    return abs(float(maximum)) or 1.0


def unusual_units(
    store: NeuroscopeStore,
    site: str,
    values: Float[np.ndarray, "token unit"],
    counts: Bool[np.ndarray, " token"],
    limit: int,
) -> list[FiredUnit]:
    """The units of a site whose activations are the most unusual for them, the most unusual first.

    Args:
        values: activations on the tokens of a text.
        counts: which tokens count.
        limit: how many highest and how many lowest activations are considered.

    Raises:
        KeyError: for a site that the store does not have.
    """
    rows = np.flatnonzero(counts)
    if not len(rows):
        return []
    signed = next(each.signed for each in store.sites() if each.name == site)
    statistics, (edges, bins) = store.statistics(site), store.histograms(site)
    scales = np.where(statistics.maximum == 0, 1.0, np.abs(statistics.maximum))
    found: list[FiredUnit] = []
    for is_low in (False, True) if signed else (False,):
        places = rows[(values[rows].argmin if is_low else values[rows].argmax)(0)]
        extreme = values[places, np.arange(values.shape[1])]
        shares = share_beyond(edges, bins, statistics, extreme, is_low=is_low)
        if not signed:
            shares = np.where(extreme > 0, shares, np.inf)
        best = np.lexsort((-np.abs(extreme) / scales, shares))
        found += [
            FiredUnit(
                UnitAddress(store.model, site, unit),
                float(extreme[unit]),
                int(places[unit]),
                float(shares[unit]),
                is_low,
            )
            for unit in best[:limit].tolist()
            if np.isfinite(shares[unit])
        ]
    unusual: dict[int, FiredUnit] = {}
    for unit in sorted(found, key=lambda each: each.share):
        unusual.setdefault(unit.address.unit, unit)
    return list(unusual.values())


def share_beyond(
    edges: Float[np.ndarray, " edge"],
    bins: Int[np.ndarray, "unit bin"],
    statistics: SiteStatistics,
    values: Float[np.ndarray, " unit"],
    *,
    is_low: bool = False,
) -> Float[np.ndarray, " unit"]:
    """For each unit, the share of the harvest's tokens at which it was at least as active as `values` says.

    The whole bin of a value counts, so the share is never too small; it is 0 beyond the unit's maximum.

    Args:
        edges, bins: the site's histograms.
        values: one activation per unit.
        is_low: the share of tokens at which it was at most as active, instead.
    """
    # Bins were chosen for numbers in half precision.
    rounded = values.astype(np.float16).astype(np.float64)
    own = np.clip(np.searchsorted(edges, rounded, side="right") - 1, 0, bins.shape[1] - 1)
    upto = np.cumsum(bins, axis=1)
    unit = np.arange(len(values))
    if is_low:
        number = np.where(values < statistics.minimum, 0, upto[unit, own])
    else:
        below = np.where(own > 0, upto[unit, own - 1], 0)
        number = np.where(values > statistics.maximum, 0, upto[:, -1] - below)
    return number / np.maximum(statistics.tokens, 1)
