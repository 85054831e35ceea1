"""Training a whole group of instances as one tensor program that can be interrupted and continued."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechscope.checkpoints.toy_networks import Group, ToyModels, TrainedGroup
from mechscope.labs.superposition.gradients import gradients, initial_models, losses
from mechscope.labs.superposition.sparse_features import draw_features
from mechscope.runs.training_state import step_seed
from mechscope.runs.workspace import Part, Workspace

TEST_BATCHES = 8
"""Batches of fresh data that a trained instance's loss is averaged over."""


def geometric(n_features: int, ratio: float, settings: int) -> tuple[tuple[float, ...], ...]:
    """Importances I_i = ratioⁱ, the same in every setting."""
    return (tuple(float(ratio) ** i for i in range(n_features)),) * settings


def train_group(workspace: Workspace, group: Group, seed: int) -> TrainedGroup:
    """Train the group, continue an interrupted training, or read back a finished one."""
    name = f"{group.name}-seed-{seed}"
    part = workspace.load_or_compute(name, lambda: _train(workspace, name, group, seed))
    part = {key: value.cpu() for key, value in part.items()}
    return TrainedGroup(group, _models(group, part), part["loss"])


def batch_for(
    group: Group, seed: int, step: int, device: torch.device
) -> tuple[Float[Tensor, "setting feature batch"], Float[Tensor, "setting feature batch"]]:
    """Inputs and targets of one step. Each step has its own seed, so a resumed training sees the same data."""
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
    if (saved := workspace.restore_state(name)) is not None:
        done = int(saved.pop("done"))
        state = {key: saved[key] for key in state}
        moments = {key: saved[key] for key in moments}
    models = _models(group, state)
    choice = group.steps // 4
    with workspace.bar(group.steps, f"{group.instances:,} instances of {group.name}", done) as bar:
        for step in range(done, group.steps):
            if step == choice and 0 < group.finalists < models.W.shape[1]:
                chosen = _finalists(group, models, importance, seed)
                state = {key: _select(value, chosen) for key, value in state.items()}
                moments = {key: _select(value, chosen) for key, value in moments.items()}
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
    """The starts with the lowest loss, in their order. They are chosen on other data than the final losses."""
    order = test_losses(group, models, importance, seed, first=TEST_BATCHES).argsort(1)
    return order[:, : group.finalists].sort(1).values


def _select(values: Tensor, chosen: Int[Tensor, "setting start"]) -> Tensor:
    return values[torch.arange(len(values), device=values.device)[:, None], chosen].contiguous()


def test_losses(
    group: Group,
    models: ToyModels,
    importance: Tensor,
    seed: int,
    first: int = 0,
    batches: int = TEST_BATCHES,
) -> Float[Tensor, "setting start"]:
    """Loss on data that was not trained on, averaged over `batches` batches from number `first` on."""
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
