"""Stand-ins for the real models that labs use if they are on this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from mechscope.checkpoints.lab_models import LabModel
from mechscope.model.transformer import HookedTransformer


@dataclass(frozen=True)
class StandIn(LabModel):
    """A lab model whose weights a test chooses; without `make`, one that is not on this machine."""

    make: Callable[[], HookedTransformer] | None = None

    @property
    def files(self) -> list[Path]:
        """This file, so that there is something to compute a checksum of."""
        return [] if self.make is None else [Path(__file__)]

    def load(self, device: torch.device) -> HookedTransformer:
        """The test's model."""
        assert self.make is not None
        return self.make().to(device)


def absent(model: LabModel) -> LabModel:
    """A lab model as if it were not on this machine."""
    return StandIn(**vars(model))


def stand_in(model: LabModel, make: Callable[[], HookedTransformer]) -> LabModel:
    """A lab model whose weights are those that `make` returns."""
    return StandIn(**vars(model), make=make)
