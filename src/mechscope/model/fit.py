"""Whether weights fit a model, said in one error."""

from __future__ import annotations

from collections.abc import Mapping

import torch

SHOWN = 40


def check_fit(
    expected: Mapping[str, torch.Tensor], state_dict: Mapping[str, torch.Tensor], model_name: str
) -> None:
    """Compare names and shapes with those of the model's own tensors.

    Raises:
        ValueError: that lists every missing, unexpected and misshapen tensor at once.
    """
    lines = [
        f"missing: {name} {tuple(own.shape)}" for name, own in expected.items() if name not in state_dict
    ]
    lines += [f"unexpected: {name}" for name in state_dict if name not in expected]
    lines += [
        f"shape of {name}: {tuple(value.shape)}, expected {tuple(expected[name].shape)}"
        for name, value in state_dict.items()
        if name in expected and value.shape != expected[name].shape
    ]
    if lines:
        more = [f"… and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
        listed = "\n  ".join([*lines[:SHOWN], *more])
        raise ValueError(f"these weights do not fit the config of {model_name!r}:\n  {listed}")
