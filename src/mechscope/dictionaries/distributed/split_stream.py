"""A stream divided among ranks: each rank reads and holds a part of each block, and all ranks get every batch.

The order is that of the undivided stream, so the batches are the same for any number of ranks, and a run that was
started with two ranks can be resumed with one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mechscope.dictionaries.distributed._agreement import agree
from mechscope.dictionaries.distributed.ranks import Ranks
from mechscope.dictionaries.stream import Batch, BlockStream, Stream, block_order


class SplitStream(BlockStream):
    """The batches of another stream, of which each rank reads one part of every block.

    This divides memory and, for a model's activations, forward passes by the number of ranks; batches are gathered.

    Args:
        stream: a `ModelStream`, `ShardStream` or `TensorStream`, the same on all ranks.
        ranks: the processes that share the work.

    Raises:
        ValueError: for a stream that cannot be read in parts, or that is not the same on all ranks.
    """

    def __init__(self, stream: Stream, ranks: Ranks) -> None:
        if not isinstance(stream, BlockStream) or not stream.splits:
            raise ValueError(
                f"{stream.source} ({type(stream).__name__}) cannot be divided among ranks: only a ModelStream, "
                "ShardStream or TensorStream can. Let every rank read all of it."
            )
        super().__init__(stream.batch_size, stream.seed)
        self.inner, self.ranks, self.source = stream, ranks, stream.source
        agree(
            ranks,
            {
                "stream": {
                    "source": stream.source,
                    "batch_size": stream.batch_size,
                    "seed": stream.seed,
                    "content": stream.fingerprint(),
                }
            },
        )
        self._bounds = torch.zeros(ranks.size + 1, dtype=torch.long)

    @property
    def d_in(self) -> int:
        return self.inner.d_in

    @property
    def d_out(self) -> int | None:
        return self.inner.d_out

    def made_from(self) -> Mapping[str, str]:
        return self.inner.made_from()

    def metadata(self) -> dict[str, Any]:
        return self.inner.metadata()

    def blocks(self) -> int:
        return self.inner.blocks()

    def read_block(self, epoch: int, number: int) -> Batch:
        """This rank's part of a block."""
        return self.inner.read_part(epoch, number, self.ranks.rank, self.ranks.size)

    def _draw_order(self, epoch: int, number: int) -> Tensor:
        self._bounds = torch.tensor(self.inner.bounds(epoch, number, self.ranks.size))
        return block_order(self.seed, epoch, number, int(self._bounds[-1]))

    def _take(self, rows: Tensor) -> Batch:
        # All ranks know the order, so each knows the owner of every row, and only the rows themselves are sent.
        owner = torch.bucketize(rows, self._bounds[1:], right=True)
        counts = torch.bincount(owner, minlength=self.ranks.size)
        mine = rows[owner == self.ranks.rank] - self._bounds[self.ranks.rank]

        def gathered(block: Tensor) -> Tensor:
            padded = block.new_zeros(int(counts.max()), block.shape[1], device=self.ranks.device)
            padded[: len(mine)] = block[mine.to(block.device)].to(padded.device)
            pieces = self.ranks.gather(padded)
            batch = pieces.new_empty(len(rows), block.shape[1])
            for number, piece in enumerate(pieces):
                batch[(owner == number).to(batch.device)] = piece[: int(counts[number])]
            return batch.to(block.dtype)

        target = self._block.target
        return Batch(gathered(self._block.x), None if target is None else gathered(target))
