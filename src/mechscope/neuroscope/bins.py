"""The bins of all histograms: fixed, so that counts from different shards and machines can be added.

A bin covers a quarter of an octave: four bins from 1 to 2 (1, 1.25, 1.5, 1.75), four from 2 to 4, and the same for
negative numbers, as far as 2⁻⁸ to 2¹⁰. Smaller magnitudes share the bin in the middle, larger ones the outermost bins.
Activations are rounded to half precision first: the first byte of such a number has its sign, its exponent and two
bits of its mantissa, and so it names the bin.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

PER_OCTAVE = 4
SMALLEST, LARGEST = -8, 10
"""The exponents of 2 between which magnitudes have bins of their own."""
CODES = 256
"""How many values a first byte can have."""
_BIAS = 15
_OWN = (LARGEST - SMALLEST) * PER_OCTAVE
N_BINS = 2 * _OWN + 1


def bin_edges() -> tuple[float, ...]:
    """The borders of the bins, ascending; a bin has its lower border if positive, its upper border if negative.

    >>> edges = bin_edges()
    >>> len(edges) == N_BINS + 1, edges[0], edges[N_BINS // 2 : N_BINS // 2 + 4]
    (True, -inf, (-0.00390625, 0.00390625, 0.0048828125, 0.005859375))
    """
    magnitudes = [
        2.0**exponent * (1 + quarter / PER_OCTAVE)
        for exponent in range(SMALLEST, LARGEST)
        for quarter in range(PER_OCTAVE)
    ]
    upper = [*magnitudes, float("inf")]
    return (*(-edge for edge in reversed(upper)), *upper)


def bin_of_code() -> np.ndarray:
    """The bin of each first byte [code]. A code is the byte as a signed number, plus 128."""
    byte = np.arange(CODES) - CODES // 2
    magnitude = byte % (CODES // 2)
    step = np.clip(magnitude - (SMALLEST + _BIAS) * PER_OCTAVE + 1, 0, _OWN)
    return np.where(byte >= 0, _OWN + step, _OWN - step)


def counts_by_bin(by_code: Int[Tensor, "unit code"]) -> Int[Tensor, "unit bin"]:
    """Counts of the bins from counts of the first bytes."""
    bins = torch.from_numpy(bin_of_code()).to(by_code.device)
    counts = by_code.new_zeros(len(by_code), N_BINS)
    return counts.index_add_(1, bins, by_code)
