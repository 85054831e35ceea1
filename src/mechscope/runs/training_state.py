"""Save and resume a training with the same losses, and helpers that our small trainings share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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


def stack_rows(rows: Sequence[Mapping[str, Tensor]], prefix: str = "") -> Part:
    """Rows of equal fields as one tensor per field [row ...], its name behind `prefix`.

    >>> rows = [{"loss": torch.tensor(2.0)}, {"loss": torch.tensor(1.0)}]
    >>> stack_rows(rows, "look.")["look.loss"].tolist()
    [2.0, 1.0]
    >>> split_rows(stack_rows(rows, "look."), "look.") == rows
    True
    """
    return {f"{prefix}{name}": torch.stack([row[name] for row in rows]) for name in rows[0]}


def split_rows(part: Mapping[str, Tensor], prefix: str) -> list[dict[str, Tensor]]:
    """The rows that `stack_rows` stacked, on the CPU."""
    columns = {name: column.cpu() for name, column in with_prefix(part, prefix).items()}
    count = len(next(iter(columns.values())))
    return [{name: column[row] for name, column in columns.items()} for row in range(count)]


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
