"""Outliers: activations that are left out of training, and reported separately, because they are massive.

The rule is that of `mechscope.model.massive_activations`. Training applies it once, to the first activations of its
stream, and keeps the limits in the dictionary's metadata, so that evaluation leaves out the same activations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mechscope.arguments import is_number
from mechscope.dictionaries.distributed.ranks import ALONE, Ranks
from mechscope.dictionaries.stream import Batch, Stream
from mechscope.model.massive_activations import FACTOR, is_massive, length_limit

LIMITS = "outlier_limits"
"""Metadata key of the lengths above which activations were left out of training."""
MOST_EMPTY_BATCHES = 1000
"""So many batches in a row may consist of outliers only."""


@dataclass(frozen=True)
class OutlierLimits:
    """The lengths above which an activation, or a transcoder's target, is an outlier; infinity means none is."""

    x: float = math.inf
    """Limit of the inputs, in the units of the hook point."""
    target: float = math.inf
    """Limit of a transcoder's targets. The layer that creates massive activations reads ordinary ones."""

    @property
    def exist(self) -> bool:
        """Whether anything can be an outlier."""
        return min(self.x, self.target) < math.inf

    def outliers(
        self, x: Float[Tensor, "*batch d_in"], target: Float[Tensor, "*batch d_out"] | None = None
    ) -> Bool[Tensor, "*batch"]:
        """True at the activations whose input or target is too long.

        >>> OutlierLimits(x=10.0).outliers(torch.tensor([[3.0, 4.0], [60.0, 80.0]])).tolist()
        [False, True]
        """
        found = is_massive(x, self.x)
        return found if target is None or target is x else found | is_massive(target, self.target)

    def to_metadata(self) -> dict[str, float | None]:
        """Plain values for JSON, which has no infinity."""
        return {name: value if math.isfinite(value) else None for name, value in self.__dict__.items()}


NO_LIMITS = OutlierLimits()
"""Nothing is an outlier."""


def estimate_limits(sample: Batch, factor: float | None = FACTOR) -> OutlierLimits:
    """The limits for a sample of activations; None as a factor gives no limits."""
    if factor is None:
        return NO_LIMITS
    target = math.inf if sample.target is None else length_limit(sample.target, factor)
    return OutlierLimits(length_limit(sample.x, factor), target)


def trained_limits(dictionary: Any) -> OutlierLimits | None:
    """The limits in a dictionary's metadata; None if it was trained without, as those of other tools are.

    Raises:
        ValueError: for metadata that are not limits.
    """
    metadata: Any = getattr(dictionary, "metadata", None) or {}
    kept = metadata.get(LIMITS)
    if kept is None:
        return None
    values = cast("Mapping[str, Any]", kept) if isinstance(kept, Mapping) else {"": kept}
    if not set(values) <= {"x", "target"} or not all(
        value is None or (is_number(value, float) and value > 0) for value in values.values()
    ):
        raise ValueError(
            f"{LIMITS} in a dictionary's metadata must be like {{'x': 3500.0, 'target': null}}, lengths above 0, "
            f"not {kept!r}."
        )
    return OutlierLimits(
        **{name: math.inf if value is None else float(value) for name, value in values.items()}
    )


class OutlierFilter:
    """Leaves outliers out of the batches of a training run, and counts them.

    A batch without outliers is passed on as it is.
    """

    def __init__(self, limits: OutlierLimits = NO_LIMITS, ranks: Ranks = ALONE) -> None:
        self.limits, self.ranks = limits, ranks
        self.left_out = 0

    def without_outliers(self, batch: Batch) -> Batch:
        """The ordinary activations of a batch."""
        if not self.limits.exist:
            return batch
        outliers = self.limits.outliers(batch.x, batch.target)
        if not self.ranks.alone:
            # Every rank must see the same batch, even if two machines round a length differently.
            agreed = outliers.to(self.ranks.device, torch.uint8)
            self.ranks.like_first(agreed)
            outliers = agreed.bool().to(batch.x.device)
        return batch[~outliers] if bool(outliers.any()) else batch

    def next_batch(self, stream: Stream) -> Batch:
        """The ordinary activations of the next batch that has any.

        Raises:
            ValueError: if there is none for a long time.
        """
        for _ in range(MOST_EMPTY_BATCHES):
            batch = next(stream)
            kept = self.without_outliers(batch)
            self.left_out += len(batch) - len(kept)
            if len(kept):
                return kept
        raise ValueError(
            f"{stream.source}: {MOST_EMPTY_BATCHES:,} batches in a row have only activations longer than "
            f"{self.limits.x:.4g}, the limit that the first activations gave: later activations are of another kind. "
            "Set outlier_factor=None to train on all."
        )

    def tensors(self) -> dict[str, Tensor]:
        """For a checkpoint."""
        return {
            # A checkpoint with infinite numbers would look damaged: 0 stands for no limit.
            "outliers": torch.tensor(
                [*(value or 0.0 for value in self.limits.to_metadata().values()), self.left_out],
                dtype=torch.float64,
            )
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `tensors` returned."""
        x, target, left_out = tensors["outliers"].tolist()
        self.limits = OutlierLimits(x or math.inf, target or math.inf)
        self.left_out = int(left_out)
