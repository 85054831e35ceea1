"""Add up the statistics of one site's units while a shard is read.

This is where a harvest spends its time apart from the model, so every pass over the activations counts. They are taken
in pieces that stay in the processor's cache, and the first pass over a piece reads it from end to end, which fetches it
twice as fast as a pass by columns does. Memory is allocated once. Tokens that do not count are left in place with a
weight or a power of 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int16, Int64
from torch import Tensor

from mechscope.neuroscope.bins import CODES, counts_by_bin

PIECE = 2**17
"""About so many activations are taken at once."""
STRIDE = CODES + 8
"""How far apart the counters of two units are. At a distance of 256, the counters that are used most would share a few
places of the processor's cache and drive each other out, and counting would take twice as long."""
UNITS_PER_COUNT = 64
"""Codes of so many units are counted at once: their numbers fit into 16 bits."""
NO_BYTE = 0x7E
"""The first byte of NaN, which stands for activations that do not count."""


class Workspace:
    """Memory that all sites use in turn."""

    def __init__(self) -> None:
        self._buffers: dict[str, Tensor] = {}

    def get(self, name: str, rows: int, units: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        """A matrix [rows units] with undefined content."""
        size = rows * units
        found = self._buffers.get(name)
        if found is None or found.numel() < size:
            found = self._buffers[name] = torch.empty(size, dtype=dtype, device=device)
        return found[:size].view(rows, units)


class Tally:
    """Counts, sums and extremes of a site's units.

    Args:
        lowest: whether `add` also returns the lowest activations of each sequence.
    """

    def __init__(self, units: int, device: torch.device, workspace: Workspace, *, lowest: bool) -> None:
        self.units, self.device, self.workspace, self.lowest = units, device, workspace, lowest
        self.tokens = self.left_out = 0
        self.firing = torch.zeros(units, dtype=torch.int64, device=device)
        self.sums = torch.zeros(4, units, dtype=torch.float64, device=device)
        self.minimum = torch.full((units,), torch.inf, device=device)
        self.maximum = torch.full((units,), -torch.inf, device=device)
        self.by_code = torch.zeros(units * STRIDE, dtype=torch.int64, device=device)
        # A first byte as a signed number counts from −128.
        offsets = torch.arange(UNITS_PER_COUNT, device=device) * STRIDE + CODES // 2
        self.offsets = offsets.to(torch.int16)

    def add(
        self, values: Float[Tensor, "batch pos unit"], counts: Bool[Tensor, "batch pos"], real: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Add a batch, and return the highest and the lowest activations of each sequence [batch unit].

        Args:
            counts: which tokens count.
            real: how many tokens are no padding.
        """
        batch, length, units = values.shape
        values = values.contiguous()
        which = counts.cpu().numpy()
        counted = which.sum(1)
        self.tokens += (total := int(counted.sum()))
        self.left_out += real - total
        step = max(1, PIECE // (length * units))
        rows = min(step, batch) * length
        memory = tuple(
            self.workspace.get(name, rows, units, values.dtype, self.device) for name in ("a", "b", "c")
        )
        halves = self.workspace.get("halves", rows, units, torch.float16, self.device)
        first_bytes = self.workspace.get("bytes", batch * length, units, torch.int16, self.device)
        sums = torch.empty(math.ceil(batch / step), 6, units, dtype=values.dtype, device=self.device)
        numbers = list[int]()
        weights = counts.to(values.dtype).view(-1)
        # Nearly always every token counts but the first.
        simple = (counted == length - 1) & ~which[:, 0]
        peaks, troughs = list[Tensor](), list[Tensor]()
        for number, piece in enumerate(values.split(step)):
            flat = piece.view(-1, units)
            some, first, size = slice(number * step, (number + 1) * step), number * step * length, len(flat)
            half = halves[:size].copy_(flat).view(torch.int16)
            torch.bitwise_right_shift(half, 8, out=first_bytes[first : first + size])
            left_out = torch.from_numpy(np.flatnonzero(~which[some])).to(self.device)
            numbers.append(size - len(left_out))
            _sums_of_powers(
                flat,
                weights[first : first + size] / max(numbers[-1], 1),
                left_out,
                [each[:size] for each in memory],
                sums[number],
            )
            if simple[some].all() and length > 1:
                piece = piece[:, 1:]
                peaks.append(piece.amax(1))
                troughs.append(piece.amin(1))
            else:
                without = ~counts[some, :, None]
                peaks.append(piece.masked_fill(without, -torch.inf).amax(1))
                troughs.append(piece.masked_fill(without, torch.inf).amin(1))
        centre, *powers, above = sums.unbind(1)
        self.sums += about_zero(torch.tensor(numbers, device=self.device)[:, None], powers, centre).sum(1)
        self.firing += above.sum(0).to(torch.int64)
        # Much faster than first_bytes[~counts] = …
        first_bytes.index_fill_(0, (~counts.view(-1)).nonzero()[:, 0], NO_BYTE)
        self._count_codes(first_bytes)
        highest, lowest = torch.cat(peaks), torch.cat(troughs)
        self.maximum = torch.maximum(self.maximum, highest.amax(0))
        self.minimum = torch.minimum(self.minimum, lowest.amin(0))
        return highest.cpu().numpy(), lowest.cpu().numpy() if self.lowest else None

    def _count_codes(self, first_bytes: Int16[Tensor, "token unit"]) -> None:
        for start in range(0, self.units, UNITS_PER_COUNT):
            some = first_bytes[:, start : start + UNITS_PER_COUNT]
            tokens, units = some.shape
            codes = self.workspace.get("codes", tokens, units, torch.int16, self.device)
            torch.add(some, self.offsets[:units], out=codes)
            found = torch.bincount(codes.view(-1), minlength=units * STRIDE)
            self.by_code[start * STRIDE :][: len(found)] += found

    def histogram(self) -> Tensor:
        """Counts in the bins of `bins.py` [unit bin]."""
        by_code = self.by_code.view(self.units, STRIDE)[:, :CODES].clone()
        by_code[:, NO_BYTE + CODES // 2] = 0
        return counts_by_bin(by_code)


def _sums_of_powers(
    rows: Float[Tensor, "token unit"],
    shares: Float[Tensor, " token"],
    left_out: Int64[Tensor, " left"],
    memory: Sequence[Float[Tensor, "token unit"]],
    sums: Float[Tensor, "sum unit"],
) -> None:
    """A centre near the mean, the sums of the first to fourth powers of the distances from it, and the numbers of
    activations above 0, into `sums`.

    Powers of the activations themselves would not do in single precision: the variance of a unit whose mean is many
    times its spread would be a small difference of large numbers.

    Args:
        shares: one over the number of tokens that count, at each of these, otherwise 0.
        left_out: where the shares are 0.
        memory: three matrices to compute in.
    """
    apart, square, other = memory
    centre = torch.mv(rows.T, shares, out=sums[0])
    # The others without shares, because a sum is faster than a product with a vector.
    torch.sum(torch.gt(rows, 0, out=other).index_fill_(0, left_out, 0), 0, out=sums[5])
    torch.sub(rows, centre, out=apart).index_fill_(0, left_out, 0)
    torch.sum(apart, 0, out=sums[1])
    torch.sum(torch.mul(apart, apart, out=square), 0, out=sums[2])
    torch.sum(torch.mul(square, apart, out=other), 0, out=sums[3])
    torch.sum(square.mul_(square), 0, out=sums[4])


def about_zero(
    number: Int64[Tensor, "piece 1"],
    powers: Sequence[Float[Tensor, "piece unit"]],
    centre: Float[Tensor, "piece unit"],
) -> Float64[Tensor, "power piece unit"]:
    """Sums of the first to fourth powers of some numbers, from those of their distances from a centre.

    By the binomial theorem, in double precision.

    >>> powers = [torch.tensor([[power]]) for power in (0.0, 2.0, 0.0, 2.0)]
    >>> about_zero(torch.tensor([[2]]), powers, torch.tensor([[2.0]])).flatten().tolist()  # of 1 and 3
    [4.0, 10.0, 28.0, 82.0]

    Args:
        number: how many numbers there are.
        powers: the sums of the first to fourth powers of the distances.
    """
    one, two, three, four = (power.double() for power in powers)
    c, n = centre.double(), number.double()
    return torch.stack(
        [
            one + n * c,
            two + c * (2 * one + n * c),
            three + c * (3 * two + c * (3 * one + n * c)),
            four + c * (4 * three + c * (6 * two + c * (4 * one + n * c))),
        ]
    )
