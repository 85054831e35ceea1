"""Training settings: one frozen dataclass that validates itself. Does not load torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict

from mechscope.settings import NonNegativeInt, PositiveFloat, PositiveInt, Range, Settings, decode

DecayRate = Annotated[float, Range(least=0, below=1)]
Revival = Literal["auxiliary", "resample", "none"]


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(Settings):
    """Settings of a training run; the stream determines the batch size."""

    steps: PositiveInt
    """Batches to train on."""
    lr: PositiveFloat = 3e-4
    """Adam's learning rate."""
    betas: tuple[DecayRate, DecayRate] = (0.9, 0.999)
    """Adam's decay rates."""
    lr_warmup: NonNegativeInt = 0
    """Steps over which the learning rate rises from 0."""
    lr_decay: NonNegativeInt = 0
    """Number of final steps over which it falls to 0."""
    sparsity_warmup: NonNegativeInt = 0
    """Steps over which the sparsity penalty rises from 0."""
    clip: PositiveFloat | None = None
    """Maximum gradient norm; longer gradients are clipped. None: no clipping."""
    revive: Revival = "auxiliary"
    """How to revive dead features: an auxiliary loss (Gao et al. 2024), resampling (Bricken et al. 2023), or
    nothing."""
    dead_after: PositiveInt = 1_000_000
    """Number of activations without firing after which a feature counts as dead."""
    aux_k: PositiveInt | None = None
    """How many dead features reconstruct the residual error; None: half of d_in."""
    aux_coefficient: PositiveFloat = 1 / 32
    """Weight of the auxiliary loss."""
    resample_every: PositiveInt = 5000
    """Steps between resamplings."""
    scale: bool = True
    """Whether activations are scaled to a mean length of √d_in by one factor, estimated before the first step."""
    outlier_factor: Annotated[float, Range(above=1)] | None = 25.0
    """Activations more than this many times as long as the median one are left out: a handful of them would decide the
    scale, the bias and the loss (`mechscope.model.massive_activations`). None: train on all."""
    bf16: bool = False
    """Whether large products are computed in bfloat16; weights stay as they are."""
    log_every: PositiveInt = 50
    """Steps between entries of the history."""
    checkpoint_every: PositiveInt = 1000
    """Steps between checkpoints: the most that a crash can cost."""
    seed: NonNegativeInt = 0
    """Of resampling."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lr_warmup + self.lr_decay > self.steps:
            raise ValueError(
                f"lr_warmup ({self.lr_warmup}) and lr_decay ({self.lr_decay}) take more than all {self.steps} steps."
            )

    def lr_at(self, step: int) -> float:
        """Learning rate at a step, counted from 0.

        >>> [TrainingConfig(steps=4, lr=1.0, lr_warmup=2, lr_decay=2).lr_at(step) for step in range(4)]
        [0.5, 1.0, 1.0, 0.5]
        """
        rising = min(1.0, (step + 1) / self.lr_warmup) if self.lr_warmup else 1.0
        falling = min(1.0, (self.steps - step) / self.lr_decay) if self.lr_decay else 1.0
        return self.lr * rising * falling

    def sparsity_at(self, step: int) -> float:
        """Factor on the sparsity penalty at a step, counted from 0."""
        return min(1.0, (step + 1) / self.sparsity_warmup) if self.sparsity_warmup else 1.0


class Schedule(TypedDict):
    """The settings that define the schedules of learning rate and penalty."""

    lr_warmup: int
    lr_decay: int
    sparsity_warmup: int


def short_schedule(steps: int) -> Schedule:
    """For short training runs: a short warm-up, a penalty that rises over a tenth, a decay over the last quarter."""
    return {"lr_warmup": min(20, steps // 4), "lr_decay": steps // 4, "sparsity_warmup": steps // 10}


def training_config_from_dict(settings: Mapping[str, Any]) -> TrainingConfig:
    """Restore the config that `to_dict` describes.

    Raises:
        ValueError: for unknown, missing or impossible settings.
    """
    return decode(TrainingConfig, settings, "a training")
