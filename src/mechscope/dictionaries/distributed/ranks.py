"""Communication between the processes of one training run.

A dictionary over several ranks is divided by features: each rank holds its features' encoder columns, decoder rows, and
Adam's moments of both. Every rank sees the whole batch. In the forward pass, reconstructions are summed over ranks, and
choosing the largest features needs the other ranks' candidates; nothing else is exchanged. The backward pass exchanges
nothing, because the gradient of a sum is the same for every summand. The first rank alone adds the tensors that
features share (b_dec, a skip term), so their gradients are summed over ranks afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together. All of them must make the same calls in the same order."""

    rank: int = 0
    """The number of this process, from 0."""
    size: int = 1
    """The number of processes."""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    """The device of this rank's weights and messages."""

    @property
    def first(self) -> bool:
        """Whether this is the first rank, which alone writes files and prints."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """Whether this is the only process."""
        return self.size == 1

    # Features -------------------------------------------------------------------------------------

    def share(self, features: int) -> slice:
        """The features that belong to this rank.

        Raises:
            ValueError: if they cannot be divided evenly.
        """
        each, left = divmod(features, self.size)
        if left or not each:
            above = (each + 1) * self.size
            fits = f"{each * self.size} or {above}" if each else str(above)
            raise ValueError(
                f"d_sae = {features} features cannot be divided evenly among {self.size} ranks: choose {fits}, or "
                "another number of processes."
            )
        return slice(self.rank * each, (self.rank + 1) * each)

    # Sums -----------------------------------------------------------------------------------------

    def sum(self, part: Tensor) -> Tensor:
        """The sum of the ranks' tensors, at least in float32. Each part's gradient is that of the sum."""
        return part if self.alone else cast("Tensor", _Sum.apply(part))

    def count(self, mine: int) -> int:
        """The sum of one whole number per rank."""
        return mine if self.alone else int(self._reduced(mine, torch.long, dist.ReduceOp.SUM))

    def total(self, mine: float) -> float:
        """The sum of one number per rank, in float64."""
        return mine if self.alone else float(self._reduced(mine, torch.float64, dist.ReduceOp.SUM))

    def least(self, mine: float) -> float:
        """The smallest of one number per rank."""
        return mine if self.alone else float(self._reduced(mine, torch.float64, dist.ReduceOp.MIN))

    def _reduced(self, mine: float, dtype: torch.dtype, how: Any) -> Tensor:
        number = torch.tensor(mine, dtype=dtype, device=self.device)
        dist.all_reduce(number, how)
        return number

    def add_up(self, tensors: list[Tensor]) -> None:
        """Replace tensors of the same dtype by their sums over ranks, in one message."""
        if self.alone or not tensors:
            return
        together = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(together)
        for tensor, summed in zip(tensors, together.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(summed.view_as(tensor))

    # Exchange -------------------------------------------------------------------------------------

    def gather(self, mine: Tensor) -> Tensor:
        """The tensors of all ranks, which have the same shape, on every rank [rank …]; without gradients."""
        mine = _whole_precision(mine.detach()).contiguous()
        if self.alone:
            return mine[None]
        pieces = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(pieces, mine)
        return torch.stack(pieces)

    def texts(self, mine: str) -> list[str]:
        """The texts of all ranks, on every rank."""
        content = torch.tensor(list(mine.encode()), dtype=torch.uint8, device=self.device)
        lengths = self.gather(torch.tensor(len(content), device=self.device)).tolist()
        padded = content.new_zeros(max(lengths))
        padded[: len(content)] = content
        rows = self.gather(padded).cpu()
        return [bytes(row[:length].tolist()).decode() for row, length in zip(rows, lengths, strict=True)]

    def like_first(self, tensor: Tensor) -> None:
        """Replace a tensor by that of the first rank."""
        if not self.alone:
            dist.broadcast(tensor, 0)

    def whole(self, mine: Tensor, axis: int | None) -> Tensor | None:
        """The concatenation of the ranks' tensors, on the CPU of the first rank; None on the others.

        They are sent one after another, so the first rank's device needs memory for only one more of them.

        Args:
            axis: the feature axis; None means that all ranks have the same tensor.
        """
        mine = mine.detach()
        if self.alone or axis is None:
            return mine.cpu().clone(memory_format=torch.contiguous_format) if self.first else None
        mine = mine.contiguous()
        if not self.first:
            dist.send(mine, 0)
            return None
        pieces = [mine.cpu()]
        arriving = torch.empty_like(mine)
        for other in range(1, self.size):
            dist.recv(arriving, other)
            pieces.append(arriving.cpu().clone())
        return torch.cat(pieces, axis)

    def wait(self) -> None:
        """Wait until all ranks have called this method."""
        self.count(0)


ALONE = Ranks()
"""A single process, which holds all features."""


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        ctx.dtype = part.dtype
        summed = _whole_precision(part).clone(memory_format=torch.contiguous_format)
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (flowing,) = gradients
        return flowing.to(ctx.dtype)


def _whole_precision(tensor: Tensor) -> Tensor:
    # Sums in half precision would lose too much.
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor
