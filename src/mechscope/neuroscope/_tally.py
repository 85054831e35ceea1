"""Add up the statistics of one site's units while a shard is read.

This is where a harvest spends its time apart from the model, so every pass over the activations counts: they are taken
in pieces that stay in the processor's cache, memory is allocated once, and tokens that do not count are left in place
with a weight of 0.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mechscope.neuroscope.bins import CODES, counts_by_bin

PIECE = 2**17
"""About so many activations are taken at once."""
UNITS_PER_COUNT = 2**15 // CODES
"""Codes of so many units are counted at once, because their numbers fit into 16 bits."""
NO_CODE = 0x7E + CODES // 2
"""The code of NaN, which stands for activations that do not count."""


class Workspace:
    """Memory that all sites use in turn."""

    def __init__(self) -> None:
        self._buffers: dict[str, Tensor] = {}

    def get(self, name: str, rows: int, units: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        """A matrix [rows units] with undefined content."""
        size = rows * units
        found = self._buffers.get(name)
        if found is None or len(found) < size:
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
        self.by_code = torch.zeros(units * CODES, dtype=torch.int64, device=device)
        # A first byte as a signed number counts from −128.
        offsets = torch.arange(UNITS_PER_COUNT, device=device) * CODES + CODES // 2
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
        counted = int(counts.sum())
        self.tokens += counted
        self.left_out += real - counted
        halves = self.workspace.get("halves", batch * length, units, torch.float16, self.device)
        weights = counts.to(values.dtype)
        step = max(1, PIECE // (length * units))
        highest, lowest = list[Tensor](), list[Tensor]()
        # Nearly always every token counts but the first.
        all_but_first = counted == batch * (length - 1) and not bool(counts[:, 0].any())
        for start in range(0, batch, step):
            piece = values[start : start + step]
            rows = piece.view(-1, units)
            self._add_rows(rows, weights[start : start + step].view(-1))
            first_row = start * length
            halves[first_row : first_row + len(rows)].copy_(rows)
            if all_but_first:
                some = piece[:, 1:]
                highest.append(_extreme(some, torch.amax))
                lowest.append(_extreme(some, torch.amin))
            else:
                without = ~counts[start : start + step, :, None]
                highest.append(_extreme(piece.masked_fill(without, -torch.inf), torch.amax))
                lowest.append(_extreme(piece.masked_fill(without, torch.inf), torch.amin))
        if counted < batch * length:
            halves[~counts.view(-1)] = torch.nan
        self._count_codes(halves)
        peaks, troughs = torch.cat(highest), torch.cat(lowest)
        self.maximum = torch.maximum(self.maximum, peaks.amax(0))
        self.minimum = torch.minimum(self.minimum, troughs.amin(0))
        return peaks.cpu().numpy(), troughs.cpu().numpy() if self.lowest else None

    def _add_rows(self, rows: Float[Tensor, "token unit"], weights: Float[Tensor, " token"]) -> None:
        square = self.workspace.get("square", *rows.shape, rows.dtype, self.device)
        other = self.workspace.get("other", *rows.shape, rows.dtype, self.device)
        torch.mul(rows, rows, out=square)
        self.sums[0] += torch.mv(rows.T, weights)
        self.sums[1] += torch.mv(square.T, weights)
        self.sums[2] += torch.mv(torch.mul(square, rows, out=other).T, weights)
        self.sums[3] += torch.mv(torch.mul(square, square, out=other).T, weights)
        self.firing += torch.mv(torch.gt(rows, 0, out=other).T, weights).to(torch.int64)

    def _count_codes(self, halves: Tensor) -> None:
        first_bytes = halves.view(torch.int16)
        for start in range(0, self.units, UNITS_PER_COUNT):
            some = first_bytes[:, start : start + UNITS_PER_COUNT]
            codes = self.workspace.get("codes", *some.shape, torch.int16, self.device)
            torch.bitwise_right_shift(some, 8, out=codes)
            codes += self.offsets[: codes.shape[1]]
            found = torch.bincount(codes.view(-1), minlength=codes.shape[1] * CODES)
            self.by_code[start * CODES :][: len(found)] += found

    def histogram(self) -> Tensor:
        """Counts in the bins of `bins.py` [unit bin]."""
        by_code = self.by_code.view(self.units, CODES).clone()
        by_code[:, NO_CODE] = 0
        return counts_by_bin(by_code)


def _extreme(values: Float[Tensor, "batch pos unit"], which: object) -> Float[Tensor, "batch unit"]:
    if not values.shape[1]:
        return values.new_full(
            (len(values), values.shape[2]), -torch.inf if which is torch.amax else torch.inf
        )
    return values.amax(1) if which is torch.amax else values.amin(1)
