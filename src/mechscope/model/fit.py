"""Whether weights fit a model, said in one error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

SHOWN = 40


def check_fit(
    expected: Mapping[str, torch.Tensor], state_dict: Mapping[str, torch.Tensor], model_name: str
) -> None:
    """Compare names and shapes with those of the model's own tensors.

    Raises:
        ValueError: that lists every missing, unexpected and misshapen tensor, and every one that is not floating point,
            at once.
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
    lines += _wrong_types(state_dict, expected)
    if lines:
        more = [f"… and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
        listed = "\n  ".join([*lines[:SHOWN], *more])
        raise ValueError(f"these weights do not fit the config of {model_name!r}:\n  {listed}")


def check_types(
    state_dict: Mapping[str, Any], expected: Mapping[str, torch.Tensor], *, finite: bool = False
) -> None:
    """Refuse integers, truth values and complex numbers as weights: torch would convert them and say nothing.

    Args:
        expected: the model's own tensors by name; others are not checked.
        finite: refuse NaN and infinity too.

    Raises:
        ValueError: that lists every tensor that cannot be a weight.
    """
    lines = _wrong_types(state_dict, expected)
    if finite:
        lines += [
            f"values of {name}: {int((~value.isfinite()).sum()):,} of {value.numel():,} are not finite"
            for name, value in state_dict.items()
            if name in expected and isinstance(value, torch.Tensor) and not bool(value.isfinite().all())
        ]
    if lines:
        listed = "\n  ".join([*lines[:SHOWN], *[f"… and {len(lines) - SHOWN} more"] * (len(lines) > SHOWN)])
        raise ValueError(f"these tensors cannot be weights:\n  {listed}")


def _wrong_types(state_dict: Mapping[str, Any], expected: Mapping[str, torch.Tensor]) -> list[str]:
    return [
        f"type of {name}: {str(value.dtype).removeprefix('torch.')}, and weights are floating point"
        for name, value in state_dict.items()
        if name in expected
        and isinstance(value, torch.Tensor)
        and expected[name].is_floating_point()
        and not value.is_floating_point()
    ]
