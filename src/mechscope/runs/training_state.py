"""Save and restore a training so that it goes on with the same losses, and what our small trainings share."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mechscope.runs.workspace import Part


def step_seed(seed: int, step: int) -> int:
    """The seed of one step's own batch, so that a resumed run draws what an uninterrupted one would."""
    return (seed + 1) * 1_000_003 + step


def rise_and_fall(step: int, steps: int, warm_up: int) -> float:
    """Factor on the learning rate: rises over the warm-up, falls to zero in a straight line in the second half.

    >>> [rise_and_fall(step, 8, 2) for step in (0, 1, 4, 6)]
    [0.5, 1.0, 1.0, 0.5]
    """
    return min(1.0, (step + 1) / warm_up, 2 * (1 - step / steps))


def with_prefix(part: Mapping[str, Tensor], prefix: str) -> Part:
    """The tensors whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in part.items() if name.startswith(prefix)}


def optimizer_state(optimizer: torch.optim.Optimizer, parameters: Mapping[str, Tensor]) -> Part:
    """optimizer.MOMENT.NAME → tensor.

    Args:
        parameters: name → what the optimizer was given, in that order.
    """
    names = list(parameters)
    return {
        f"optimizer.{moment}.{names[index]}": value
        for index, moments in optimizer.state_dict()["state"].items()
        for moment, value in moments.items()
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, Tensor], state: Mapping[str, Tensor]
) -> None:
    """Give an optimizer back what `optimizer_state` took; a parameter without a state begins anew."""
    stored = optimizer.state_dict()
    stored["state"] = {}
    places = {name: index for index, name in enumerate(parameters)}
    for key, value in with_prefix(state, "optimizer.").items():
        moment, name = key.split(".", 1)
        # AdamW counts its steps on the CPU whatever the weights' device (a fused one moves them itself). And a fused
        # step walks through memory: moments must lie there as their weights do, not as a file has them.
        lain = value.cpu() if moment == "step" else torch.empty_like(parameters[name]).copy_(value)
        stored["state"].setdefault(places[name], {})[moment] = lain
    optimizer.load_state_dict(stored)
