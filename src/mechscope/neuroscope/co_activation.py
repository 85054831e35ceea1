"""Which units are active together: correlations between all units of all sites, over tokens of the sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mechscope.neuroscope.contents import CoActivation
from mechscope.neuroscope.similarity import most_similar

MOST_PRODUCTS = 4e12
"""How many multiplications the correlations of all pairs may take: a minute or two on two cores."""
MOST_NUMBERS = 2**28
"""How many activations are kept for them: 1 GiB."""
NEIGHBOURS = 10
"""How many neighbours a unit gets."""
ONE_TOKEN = 0.5
"""Two units coincide by chance if a single token contributes more than this share of what speaks for their being active
together. Units that are active once, at the same token, have a correlation of 1."""


class CoActivations:
    """Collects the activations of one site after another, and finds each unit's neighbours at the end.

    If there are too many units for all tokens of the sample, tokens at equal distances are used.

    Args:
        site_sizes: the number of units of each site.
        tokens: the number of tokens of the sample.
    """

    def __init__(self, site_sizes: Mapping[str, int], tokens: int) -> None:
        self.sizes = dict(site_sizes)
        units = sum(self.sizes.values())
        most = max(1, int(min(MOST_NUMBERS / max(units, 1), MOST_PRODUCTS / max(units, 1) ** 2)))
        step = -(-tokens // most) if tokens else 1
        self.chosen = torch.arange(0, tokens, step)
        self.counts = torch.ones(len(self.chosen), dtype=torch.bool)
        self._parts: list[Float[Tensor, "unit token"]] = []

    def add(self, values: Float[Tensor, "token unit"], counts: Bool[Tensor, " token"]) -> None:
        """Add a site, in the order of the sites' sizes.

        Args:
            counts: at which tokens activations count; a token counts in the end if it does at every site.
        """
        self._parts.append(values[self.chosen].T.contiguous())
        self.counts &= counts[self.chosen]

    @property
    def tokens(self) -> int:
        """Over how many tokens correlations are computed."""
        return int(self.counts.sum())

    def neighbours(self) -> Iterator[CoActivation]:
        """The neighbours of every unit that changes at all."""
        places = [(site, unit) for site, units in self.sizes.items() for unit in range(units)]
        if not places:
            return
        rows = torch.cat([part[:, self.counts] for part in self._parts])
        self._parts.clear()
        if not rows.shape[1]:
            return
        # The correlation is the cosine of what is left after the mean is taken away. Rounding leaves a trace of
        # units that never change.
        constant = rows.amax(-1) == rows.amin(-1)
        rows -= rows.mean(-1, keepdim=True)
        rows[constant] = 0
        # Twice as many, so that others can take the place of coincidences.
        for number, found in enumerate(most_similar(rows, 2 * NEIGHBOURS)):
            together = [
                pair for pair, alone in zip(found, _coincide(rows, number, found), strict=True) if not alone
            ]
            near = tuple((*places[other], correlation) for other, correlation in together[:NEIGHBOURS])
            yield CoActivation(*places[number], near)


def _coincide(
    rows: Float[Tensor, "unit token"], unit: int, others: Sequence[tuple[int, float]]
) -> list[bool]:
    """Whether a single token makes a unit and each of the others correlate."""
    if not others:
        return []
    products = rows[[other for other, _ in others]] * rows[unit]
    return (products.amax(-1) > ONE_TOKEN * products.clamp(min=0).sum(-1)).tolist()
