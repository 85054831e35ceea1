"""Report every mismatch between tensors and what a model, a dictionary or a file should hold, in one error."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch

from mechscope.near_names import did_you_mean_clause

Shape = tuple[int, ...]
SHOWN = 12
"""How many entries of a list an error shows before it only gives their number."""
NOT_ORDINARY = (
    "is a sparse or quantized tensor; make it an ordinary one (tensor.to_dense(), tensor.dequantize())"
)


@dataclass(frozen=True)
class ExpectedTensor:
    """What one tensor of a state dict must look like."""

    shapes: tuple[Shape, ...] = ()
    """Allowed shapes, with the usual one first; empty means any shape."""
    dtype: torch.dtype | None = None
    """The exact data type; None means any floating-point type."""
    optional: bool = False
    """Whether the tensor may be missing."""
    integers: bool = False
    """Whether integers are allowed too, as in a stored count."""


def expected_like(
    tensors: Mapping[str, torch.Tensor], *, same_dtype: bool = False
) -> dict[str, ExpectedTensor]:
    """Expect tensors with the names and shapes of these.

    Args:
        same_dtype: expect their data types too; otherwise any floating-point type will do for a floating-point tensor.

    >>> expected_like({"b_dec": torch.zeros(8)})["b_dec"].shapes
    ((8,),)
    """
    return {
        name: ExpectedTensor(
            (tuple(tensor.shape),),
            dtype=tensor.dtype if same_dtype else None,
            integers=not tensor.is_floating_point(),
        )
        for name, tensor in tensors.items()
    }


def shapes_of(tensors: Mapping[str, torch.Tensor]) -> dict[str, Shape]:
    """The shape of every tensor, for `check_state_dict` where the values are checked elsewhere."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def check_state_dict(
    found: Mapping[str, torch.Tensor | Shape],
    expected: Mapping[str, ExpectedTensor | Shape],
    *,
    what: str = "these weights",
    owner: str = "the config",
    finite: bool = True,
    names_and_shapes: bool = True,
) -> None:
    """Compare a state dict with what is expected of it, and report every mismatch in one error.

    Args:
        found: tensors by name, or only their shapes if their values are checked elsewhere.
        expected: what each tensor must look like; a plain shape expects a weight of this shape.
        what: whose tensors these are, for the error.
        owner: what they must fit, for the error.
        finite: whether NaN and infinity are mismatches too.
        names_and_shapes: if False, only the values of expected tensors are checked: torch reports the rest.

    Raises:
        ValueError: listing every missing and unexpected tensor (with the missing one that it may have been meant to
            be), every wrong shape and data type, and every tensor that is not finite or not floating point.

    >>> check_state_dict({"W_Enc": (2, 3), "b_dec": (3,)}, {"W_enc": (2, 3), "b_dec": (2,)})
    Traceback (most recent call last):
    ValueError: these weights do not fit the config: 1 missing: W_enc [2, 3]; 1 unexpected: W_Enc (did you mean \
W_enc?); 1 of the wrong shape: b_dec [3] instead of [2].
    """
    wanted = {
        name: each if isinstance(each, ExpectedTensor) else ExpectedTensor((each,))
        for name, each in expected.items()
    }
    values = [
        f"{name} {problem}"
        for name, each in wanted.items()
        if isinstance(tensor := found.get(name), torch.Tensor)
        and (problem := _value_problem(tensor, each, finite)) is not None
    ]
    groups = _name_and_shape_problems(found, wanted) if names_and_shapes else []
    if groups or values:
        verdict = f"do not fit {owner}" if groups else "cannot be used"
        problems = [*groups, *([listed(values, "; ")] if values else [])]
        raise ValueError(f"{what} {verdict}: {'; '.join(problems)}.")


def _name_and_shape_problems(
    found: Mapping[str, torch.Tensor | Shape], expected: Mapping[str, ExpectedTensor]
) -> list[str]:
    missing = [name for name, each in expected.items() if name not in found and not each.optional]
    unexpected = [name for name in found if name not in expected]
    misshapen: list[str] = []
    for name, each in expected.items():
        if name in found and each.shapes:
            value = found[name]
            shape = tuple(value.shape if isinstance(value, torch.Tensor) else value)
            if shape not in each.shapes:
                misshapen.append(f"{name} {list(shape)} instead of {list(each.shapes[0])}")
    groups: list[str] = []
    if missing:
        with_shapes = [
            f"{name} {list(expected[name].shapes[0])}" if expected[name].shapes else name
            for name in missing[: SHOWN + 1]
        ]
        groups.append(f"{len(missing)} missing: {listed(with_shapes, total=len(missing))}")
    if unexpected:
        with_hints = [_with_hint(name, missing) for name in unexpected[: SHOWN + 1]]
        groups.append(f"{len(unexpected)} unexpected: {listed(with_hints, total=len(unexpected))}")
    if misshapen:
        groups.append(f"{len(misshapen)} of the wrong shape: {listed(misshapen)}")
    return groups


def _with_hint(name: str, missing: Iterable[str]) -> str:
    # Only a missing tensor can have been meant: one that is there has its own name.
    hint = did_you_mean_clause(name, missing, cutoff=0.8)
    return f"{name} ({hint})" if hint else name


def _value_problem(tensor: torch.Tensor, expected: ExpectedTensor, finite: bool) -> str | None:
    if expected.integers and not (tensor.is_floating_point() or tensor.is_complex()):
        return None
    problem = weight_problem(tensor, finite=finite)
    if problem is None and expected.dtype not in (None, tensor.dtype):
        return f"is {_name_of(tensor.dtype)} instead of {_name_of(expected.dtype)}: convert it, or set dtype"
    return problem


def weight_problem(tensor: torch.Tensor, *, finite: bool = True) -> str | None:
    """Why a tensor cannot be a weight, or None if it can.

    Args:
        finite: whether its numbers are read: then it must be an ordinary tensor that has numbers, all of them finite;
            otherwise it only has to be floating point.
    """
    if finite and not is_ordinary(tensor):
        return NOT_ORDINARY
    if finite and tensor.device.type == "meta":
        return 'is on the "meta" device, where tensors have no numbers'
    if not tensor.is_floating_point():
        return f"is {_name_of(tensor.dtype)}, but weights must be floating point"
    if not finite or not tensor.numel():
        return None
    if tensor.element_size() == 1:
        tensor = tensor.float()  # eight-bit types support almost no arithmetic
    # Minimum and maximum are NaN or infinite exactly if any number is; they need one pass and no memory.
    low, high = torch.aminmax(tensor.detach())
    if math.isfinite(low) and math.isfinite(high):
        return None
    wrong = int((~torch.isfinite(tensor)).sum())
    return f"has {wrong:,} of {tensor.numel():,} values that are not finite"


def is_ordinary(tensor: torch.Tensor) -> bool:
    """Whether a tensor is neither sparse nor quantized."""
    return tensor.layout == torch.strided and not tensor.is_quantized


def check_weights(
    weights: Iterable[tuple[str, torch.Tensor]],
    what: str,
    *,
    advice: str = "Download or train the weights again.",
) -> None:
    """Raise one ValueError that lists every tensor that cannot be a weight; see `weight_problem`.

    Args:
        what: whose weights they are, or what cannot be done with them, for the error.
        advice: what to do about it, for the error.
    """
    problems = [f"{name} {problem}" for name, tensor in weights if (problem := weight_problem(tensor))]
    refuse_weights(problems, what, advice=advice)


def refuse_weights(
    problems: list[str], what: str, *, advice: str = "Download or train the weights again."
) -> None:
    """Raise one ValueError about all problems of some weights, if there are any."""
    if problems:
        raise ValueError(f"{what}: {listed(problems, '; ')}. {advice}")


def _name_of(dtype: torch.dtype | None) -> str:
    return str(dtype).removeprefix("torch.")


def listed(entries: list[str], separator: str = ", ", *, total: int | None = None) -> str:
    """The first entries of a list, and how many more there are.

    Args:
        total: how many there are, if `entries` is already shortened.

    >>> listed([str(number) for number in range(15)])
    '0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 3 more'
    """
    left_out = (len(entries) if total is None else total) - SHOWN
    rest = f" and {left_out} more" if left_out > 0 else ""
    return separator.join(entries[:SHOWN]) + rest
