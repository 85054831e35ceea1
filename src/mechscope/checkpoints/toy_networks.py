"""Toy models of superposition: a stack of small networks, the settings they were trained with, and their losses.

Axes: `setting` (a density, and an importance for each feature), `start` (initial weights), `hidden`, `feature`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.arguments import brief_repr

ModelKind = Literal["linear", "relu", "untied"]
FeatureKind = Literal["independent", "signed", "correlated", "anticorrelated"]


@dataclass(frozen=True)
class ToyModels:
    """A stack of networks x ↦ ReLU(W_outᵀ h + b) with h = W x or h = ReLU(W x)."""

    kind: ModelKind
    """"linear": h = W x and W_out = W. "relu": h = ReLU(W x) and W_out = W. "untied": ReLU, and a separate W_out."""
    W: Float[Tensor, "setting start hidden feature"]
    """Column i is the direction of feature i."""
    W_out: Float[Tensor, "setting start hidden feature"]
    """Output weights; the same tensor as W if the two are tied."""
    b: Float[Tensor, "setting start feature"]
    """Output biases."""

    __repr__ = brief_repr

    def hidden(
        self, x: Float[Tensor, "setting feature batch"]
    ) -> Float[Tensor, "setting start hidden batch"]:
        """Hidden activations; every start of a setting sees the same inputs."""
        settings, starts, hidden, features = self.W.shape
        flat = torch.bmm(self.W.reshape(settings, starts * hidden, features), x)
        h = flat.view(settings, starts, hidden, -1)
        return h if self.kind == "linear" else h.relu_()

    def read_out(
        self, h: Float[Tensor, "setting start hidden batch"]
    ) -> Float[Tensor, "setting start feature batch"]:
        """Outputs from hidden activations."""
        settings, starts, hidden, features = self.W.shape
        flat = torch.baddbmm(
            self.b.reshape(settings * starts, features, 1),
            self.W_out.reshape(settings * starts, hidden, features).transpose(1, 2),
            h.reshape(settings * starts, hidden, -1),
        )
        return flat.view(settings, starts, features, -1).relu_()

    def __call__(
        self, x: Float[Tensor, "setting feature batch"]
    ) -> Float[Tensor, "setting start feature batch"]:
        """Outputs."""
        return self.read_out(self.hidden(x))

    def parameters(self) -> dict[str, Tensor]:
        """The trained tensors by name; tied weights appear once."""
        tensors = {"W": self.W, "b": self.b}
        return {**tensors, "W_out": self.W_out} if self.kind == "untied" else tensors

    def select(self, setting: int, start: int) -> ToyModels:
        """One instance, as a stack of one."""
        at = (slice(setting, setting + 1), slice(start, start + 1))
        return ToyModels(self.kind, self.W[at], self.W_out[at], self.b[at])


@dataclass(frozen=True)
class Group:
    """Networks of one shape that are trained together, with several settings and several starts per setting."""

    name: str
    """Short name, also used for the stored results."""
    n_features: int
    """Number of features, n."""
    n_hidden: int
    """Number of hidden dimensions, m."""
    density: tuple[float, ...]
    """Probability of a feature, p = 1 − S, for each setting."""
    importance: tuple[tuple[float, ...], ...]
    """For each setting, the importance of each feature."""
    starts: int
    """Number of random initializations per setting."""
    steps: int
    """Number of training steps."""
    batch: int = 1024
    """Inputs per step."""
    learning_rate: float = 1e-3
    """Initial learning rate of AdamW."""
    decays_to_zero: bool = False
    """Whether the learning rate decays linearly to zero over the second half of training."""
    model: ModelKind = "linear"
    """Kind of network."""
    features: FeatureKind = "independent"
    """Kind of data."""
    finalists: int = 0
    """Starts per setting that are kept after a quarter of the training, those with the lowest loss; 0 keeps all."""
    weight_decay: float = 0.01
    """Decoupled weight decay, as in AdamW."""
    starts_at_mean: bool = False
    """Whether biases start at the features' mean p/2 instead of 0. With many dense features, some outputs would
    otherwise start below zero for every input, where the ReLU has no gradient, and stay there."""

    def __post_init__(self) -> None:
        if len(self.importance) != len(self.density):
            raise ValueError(
                f"group {self.name} has {len(self.density)} densities and {len(self.importance)} "
                "importances; each setting needs one of both."
            )
        if wrong := {len(row) for row in self.importance} - {self.n_features}:
            raise ValueError(f"group {self.name} has {self.n_features} features but importances for {wrong}.")

    @property
    def instances(self) -> int:
        """Number of networks before any are dropped."""
        return len(self.density) * self.starts


@dataclass(frozen=True)
class TrainedGroup:
    """A group after training."""

    group: Group
    """Its settings."""
    models: ToyModels
    """All networks."""
    loss: Float[Tensor, "setting start"]
    """Loss on new data."""

    __repr__ = brief_repr

    def at(self, density: float) -> ToyModels:
        """The best network of the setting whose density is nearest (in its logarithm), as a stack of one.

        Raises:
            ValueError: for an invalid density, or a group with several settings at one density.
        """
        if not 0 < density <= 1:
            raise ValueError(f"a density is a probability above 0 and at most 1, not {density}.")
        if len({*self.group.density}) < len(self.group.density):
            raise ValueError(
                f"{self.group.name} has several settings at one density, with different importances: choose one "
                "from group.density and group.importance, and call models.select(setting, best(setting))."
            )
        distance = [abs(math.log(p / density)) for p in self.group.density]
        setting = distance.index(min(distance))
        return self.models.select(setting, self.best(setting))

    def best(self, setting: int) -> int:
        """Index of the start with the lowest loss."""
        return int(self.loss[setting].argmin())

    @property
    def best_W(self) -> Float[Tensor, "setting hidden feature"]:
        """W of the best start of each setting."""
        return self.models.W[torch.arange(len(self.loss)), self.loss.argmin(1)]
