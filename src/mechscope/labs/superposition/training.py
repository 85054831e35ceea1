"""Training a whole group of instances as one tensor program that can be stopped and gone on with."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechscope.labs.superposition.sparse_features import FeatureKind, draw_features
from mechscope.labs.superposition.toy_models import (
    ModelKind,
    ToyModels,
    gradients,
    initial_models,
    losses,
)
from mechscope.runs.training_state import step_seed
from mechscope.runs.workspace import Part, Workspace

TEST_BATCHES = 8
"""Batches of fresh data that a trained instance's loss is averaged over."""


@dataclass(frozen=True)
class Group:
    """Instances that are trained together: the same shape, many settings, many starts."""

    name: str
    """Short name; its finished part bears it."""
    n_features: int
    """n."""
    n_hidden: int
    """m."""
    density: tuple[float, ...]
    """p = 1 − S of each setting."""
    importance: tuple[tuple[float, ...], ...]
    """Importance of each feature in each setting."""
    starts: int
    """Random initial weights a setting."""
    steps: int
    """Training steps."""
    batch: int = 1024
    """Inputs a step."""
    learning_rate: float = 1e-3
    """Of AdamW at the start."""
    decays_to_zero: bool = False
    """Whether the learning rate falls to zero in a straight line over the second half."""
    model: ModelKind = "linear"
    """Which network."""
    features: FeatureKind = "independent"
    """Which data."""
    finalists: int = 0
    """Starts of each setting, those with the lowest loss, that go on after a quarter of the training; 0 means all."""
    weight_decay: float = 0.01
    """Decoupled, as in AdamW's default."""
    starts_at_mean: bool = False
    """Whether biases begin at the features' mean p/2 instead of at 0. With many dense features some outputs otherwise
    begin below zero for every input, where their ReLU is flat, and never leave it."""

    def __post_init__(self) -> None:
        if len(self.importance) != len(self.density):
            raise ValueError(
                f"group {self.name} has {len(self.density)} densities and {len(self.importance)} "
                "importances; a setting has one of each."
            )
        if wrong := {len(row) for row in self.importance} - {self.n_features}:
            raise ValueError(f"group {self.name} has {self.n_features} features, importances for {wrong}.")

    @property
    def instances(self) -> int:
        """How many networks are trained."""
        return len(self.density) * self.starts


@dataclass(frozen=True)
class TrainedGroup:
    """A group after training."""

    group: Group
    """Its settings."""
    models: ToyModels
    """All instances."""
    loss: Float[Tensor, "setting start"]
    """On fresh data."""

    def at(self, density: float) -> ToyModels:
        """The best network of the setting whose density is nearest (in its logarithm), as a stack of one.

        Raises:
            ValueError: for a density that is none, or a group with several settings at one density.
        """
        if not 0 < density <= 1:
            raise ValueError(f"a density is a probability above 0, not {density}.")
        if len({*self.group.density}) < len(self.group.density):
            raise ValueError(
                f"{self.group.name} has several settings at one density, which differ in their importances: look "
                "at group.density and group.importance, and take models.select(setting, best(setting))."
            )
        distance = [abs(math.log(p / density)) for p in self.group.density]
        setting = distance.index(min(distance))
        return self.models.select(setting, self.best(setting))

    def best(self, setting: int) -> int:
        """The start with the lowest loss."""
        return int(self.loss[setting].argmin())

    @property
    def best_W(self) -> Float[Tensor, "setting hidden feature"]:
        """W of the best start of each setting."""
        return self.models.W[torch.arange(len(self.loss)), self.loss.argmin(1)]


def geometric(n_features: int, ratio: float, settings: int) -> tuple[tuple[float, ...], ...]:
    """Importances I_i = ratioⁱ, the same in every setting."""
    return (tuple(float(ratio) ** i for i in range(n_features)),) * settings


def train_group(workspace: Workspace, group: Group, seed: int) -> TrainedGroup:
    """Train the group, or read it back if that was done before."""
    name = f"{group.name}-seed-{seed}"
    part = workspace.load_or_compute(name, lambda: _train(workspace, name, group, seed))
    part = {key: value.cpu() for key, value in part.items()}
    return TrainedGroup(group, _models(group, part), part["loss"])


def batch_for(
    group: Group, seed: int, step: int, device: torch.device
) -> tuple[Float[Tensor, "setting feature batch"], Float[Tensor, "setting feature batch"]]:
    """Inputs and targets of one step, from the step's own seed, so that a resumed run sees the same."""
    generator = torch.Generator().manual_seed(step_seed(seed, step))
    density = torch.tensor(group.density, device=device)
    x = draw_features(group.features, density, group.n_features, group.batch, generator)
    return x, x.abs() if group.features == "signed" else x


def _train(workspace: Workspace, name: str, group: Group, seed: int) -> dict[str, Tensor]:
    device = workspace.device
    importance = torch.tensor(group.importance, device=device)
    generator = torch.Generator().manual_seed(seed * 7919 + sum(map(ord, group.name)))
    models = initial_models(
        group.model, len(group.density), group.starts, group.n_hidden, group.n_features, generator
    )
    if group.starts_at_mean:
        models.b.copy_((torch.tensor(group.density) / 2)[:, None, None].expand_as(models.b))
    state = {key: value.to(device) for key, value in models.parameters().items()}
    moments = {
        f"{moment}.{key}": torch.zeros_like(value) for moment in ("m", "v") for key, value in state.items()
    }
    done = 0
    if (kept := workspace.restore_state(name)) is not None:
        done = int(kept.pop("done"))
        state = {key: kept[key] for key in state}
        moments = {key: kept[key] for key in moments}
    models = _models(group, state)
    heats = group.steps // 4
    with workspace.bar(group.steps, f"{group.instances:,} instances of {group.name}", done) as bar:
        for step in range(done, group.steps):
            if step == heats and 0 < group.finalists < models.W.shape[1]:
                chosen = _finalists(group, models, importance, seed)
                state = {key: _only(value, chosen) for key, value in state.items()}
                moments = {key: _only(value, chosen) for key, value in moments.items()}
                models = _models(group, state)
            x, target = batch_for(group, seed, step, device)
            found = gradients(models, x, target, importance)
            for key, value in state.items():
                slope = getattr(found, key)
                _adamw_step(value, slope, moments[f"m.{key}"], moments[f"v.{key}"], group, step)
            bar.update()
            now = {**state, **moments}
            workspace.save_state(name, lambda step=step, now=now: {**now, "done": torch.tensor(step + 1)})
    return {**state, "loss": test_losses(group, models, importance, seed)}


def _finalists(
    group: Group, models: ToyModels, importance: Tensor, seed: int
) -> Int[Tensor, "setting start"]:
    """The starts with the lowest loss, on other data than the final losses, in their old order."""
    order = test_losses(group, models, importance, seed, first=TEST_BATCHES).argsort(1)
    return order[:, : group.finalists].sort(1).values


def _only(values: Tensor, chosen: Int[Tensor, "setting start"]) -> Tensor:
    return values[torch.arange(len(values), device=values.device)[:, None], chosen].contiguous()


def test_losses(
    group: Group,
    models: ToyModels,
    importance: Tensor,
    seed: int,
    first: int = 0,
    batches: int = TEST_BATCHES,
) -> Float[Tensor, "setting start"]:
    """Loss on data that was not trained on, averaged over so many batches from number `first` on."""
    total = torch.zeros(models.W.shape[:2], device=models.W.device)
    for index in range(batches):
        x, target = batch_for(group, seed, group.steps + first + index, models.W.device)
        total += losses(models, x, target, importance)
    return total / batches


def _adamw_step(value: Tensor, slope: Tensor, first: Tensor, second: Tensor, group: Group, step: int) -> None:
    rate = group.learning_rate
    if group.decays_to_zero:
        rate *= min(1.0, 2 * (1 - step / group.steps))
    first.lerp_(slope, 0.1)
    second.mul_(0.999).addcmul_(slope, slope, value=0.001)
    size = (second / (1 - 0.999 ** (step + 1))).sqrt_().add_(1e-8)
    value.mul_(1 - rate * group.weight_decay)
    value.addcdiv_(first, size, value=-rate / (1 - 0.9 ** (step + 1)))


def _models(group: Group, state: Part) -> ToyModels:
    return ToyModels(group.model, state["W"], state.get("W_out", state["W"]), state["b"])
