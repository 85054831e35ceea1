"""Train one dictionary step by step: its optimizer, its dead features, and its state for checkpoints."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mechscope.dictionaries._resampling import resample
from mechscope.dictionaries._seeding import seeded
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.dictionaries.distributed.gathering import gather_tensors
from mechscope.dictionaries.features import fired
from mechscope.dictionaries.losses import DeadFeatures, Loss
from mechscope.dictionaries.stream import Batch
from mechscope.dictionaries.training_config import TrainingConfig

MEASURES = ("loss", "squared error", "L0", "explained variance", "dead share")
"""The measures that the history records at each logged step."""


@dataclass(frozen=True)
class Measures:
    """One training step of one dictionary, measured on its batch before the weights moved."""

    loss: float
    """The loss that was minimised, for scaled activations."""
    squared_error: float
    """The reconstruction term of the loss: summed over the width, averaged over the batch."""
    l0: float
    """Active features per example."""
    explained_variance: float
    """1 − fraction of variance unexplained in the batch; predicting the batch's mean gives 0; NaN if nothing
    varies."""
    dead_share: float
    """Share of features that have not been active for `dead_after` activations."""

    def row(self) -> list[float]:
        """The measures in the order of MEASURES."""
        return [self.loss, self.squared_error, self.l0, self.explained_variance, self.dead_share]


class Trainer:
    """Trains a dictionary in place.

    A dictionary in half precision is trained through a float32 copy (`learner`): one step changes a weight by a
    ten-thousandth of its size, which bfloat16 and float16 would round away, and the squares of small gradients would
    be 0. The copy is trained, measured and checkpointed; `hand_over` rounds its weights into the dictionary.
    """

    def __init__(self, name: str, dictionary: Dictionary, cfg: TrainingConfig) -> None:
        self.name, self.dictionary, self.cfg = name, dictionary, cfg
        dictionary.train()
        narrow = dictionary.W_enc.dtype in (torch.bfloat16, torch.float16)
        self.learner = _in_float32(dictionary) if narrow else dictionary
        parameters = list(self.learner.parameters())
        self.optimizer = torch.optim.Adam(parameters, lr=cfg.lr, betas=cfg.betas, fused=True)
        for parameter in parameters:
            # Created here, not at the first step, so that every checkpoint has the same tensors.
            self.optimizer.state[parameter] = {
                "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                "exp_avg": torch.zeros_like(parameter, memory_format=torch.preserve_format),
                "exp_avg_sq": torch.zeros_like(parameter, memory_format=torch.preserve_format),
            }
        device = dictionary.W_enc.device
        self.since_active = torch.zeros(dictionary.features_here, dtype=torch.long, device=device)

    @property
    def dead(self) -> Tensor:
        """Which features have not been active for `dead_after` activations [feature]."""
        return self.since_active >= self.cfg.dead_after

    def _count_dead(self) -> int:
        """The number of dead features on all ranks."""
        return self.dictionary.ranks.count(int(self.dead.sum()))

    def step(self, batch: Batch, number: int, *, measure: bool) -> Measures | None:
        """Train on a batch.

        Args:
            number: the step, counted from 0.
            measure: whether to return measures of the batch.

        Raises:
            FloatingPointError: if the loss is no longer finite; the weights are left as they were before the step.
        """
        dictionary, cfg = self.learner, self.cfg
        device = dictionary.W_enc.device
        x = batch.x.to(device)
        target = None
        if dictionary.cfg.transcodes and batch.target is not None:
            target = batch.target.to(device)
        if cfg.revive == "resample" and number and number % cfg.resample_every == 0:
            self._resample(Batch(x, target), number)
        revived = None
        if cfg.revive == "auxiliary" and self._count_dead():
            k = max(1, dictionary.cfg.d_in // 2) if cfg.aux_k is None else cfg.aux_k
            revived = DeadFeatures(self.dead, k, cfg.aux_coefficient)
        with torch.autocast(device.type, torch.bfloat16, enabled=cfg.bf16):
            loss = dictionary.loss(x, target, sparsity=cfg.sparsity_at(number), dead=revived)
        if not bool(loss.total.isfinite()):
            raise FloatingPointError(
                f"the loss of {self.name} became {float(loss.total.detach())} at step {number}: lower lr "
                f"({cfg.lr}), raise lr_warmup, or set clip."
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.total.backward()
        dictionary.before_step()
        if cfg.clip is not None:
            clip_gradient(dictionary, cfg.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = cfg.lr_at(number)
        self.optimizer.step()
        dictionary.after_step()
        self.since_active += len(x)
        self.since_active[fired(loss.features)] = 0
        return self._measure(loss) if measure else None

    def _measure(self, loss: Loss) -> Measures:
        return Measures(
            float(loss.total.detach()),
            float(loss.parts["mse"].detach()),
            self.dictionary.ranks.total(loss.l0),
            1 - loss.fvu,
            self._count_dead() / self.dictionary.cfg.d_sae,
        )

    def _resample(self, batch: Batch, number: int) -> None:
        dead = self.dead
        if resample(self.learner, self.optimizer, dead, batch, seeded(self.cfg.seed, number)):
            self.since_active[dead] = 0

    @torch.no_grad()
    def hand_over(self) -> None:
        """Copy the trained weights into the dictionary, rounded to its data type."""
        if self.learner is not self.dictionary:
            own = self.dictionary.state_dict()
            self.dictionary.take_state(
                {name: tensor.to(own[name].dtype) for name, tensor in self.learner.state_dict().items()}
            )

    # Checkpoints -----------------------------------------------------------------------------------------

    def state(self) -> dict[str, Tensor] | None:
        """Everything that the next step depends on, for all features, on the CPU; None on all ranks but the first."""
        return gather_tensors(self._tensors(), self.feature_axes(), self.dictionary.ranks)

    def feature_axes(self) -> dict[str, int | None]:
        """The feature axis of each tensor of `state`; None if all features share the tensor."""
        axes = {
            name: None if name.startswith("adam.step.") else self.learner.feature_axis(name.split(".")[-1])
            for name in self._tensors()
        }
        return {**axes, "since_active": 0}

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {f"dictionary.{name}": tensor for name, tensor in self.learner.state_dict().items()}
        for name, parameter in self.learner.named_parameters():
            for what, tensor in self.optimizer.state[parameter].items():
                tensors[f"adam.{what}.{name}"] = tensor
        return {**tensors, "since_active": self.since_active}

    @torch.no_grad()
    def take_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned, reduced to the features of this rank."""
        prefix = "dictionary."
        self.learner.take_state(
            {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        )
        for name, parameter in self.learner.named_parameters():
            for what, tensor in self.optimizer.state[parameter].items():
                tensor.copy_(state[f"adam.{what}.{name}"])
        self.since_active.copy_(state["since_active"])


@torch.no_grad()
def _in_float32(dictionary: Dictionary) -> Dictionary:
    """A copy with the same weights in float32."""
    cfg = dataclasses.replace(dictionary.cfg, dtype="float32")
    copied = type(dictionary)(cfg, None, dictionary.ranks).to(dictionary.W_enc.device)
    own = copied.state_dict()
    copied.take_state({name: tensor.to(own[name].dtype) for name, tensor in dictionary.state_dict().items()})
    return copied.train()


@torch.no_grad()
def clip_gradient(dictionary: Dictionary, longest: float) -> None:
    """Scale the gradients so that their total norm, over all parameters and ranks, is at most `longest`."""
    gradients = {name: p.grad for name, p in dictionary.named_parameters() if p.grad is not None}
    squares = {name: torch.linalg.vector_norm(gradient).square() for name, gradient in gradients.items()}
    own = [square for name, square in squares.items() if dictionary.feature_axis(name) is not None]
    shared = [square for name, square in squares.items() if dictionary.feature_axis(name) is None]
    length = (dictionary.ranks.sum(torch.stack(own).sum()) + torch.stack(shared).sum()).sqrt()
    factor = (longest / (length + 1e-6)).clamp_max(1)
    for gradient in gradients.values():
        gradient.mul_(factor)
