"""What a published file must have, checked before anything is built: everything that is wrong is said at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from torch import Tensor

from mechscope.arguments import is_whole_number, not_of_kind, shown
from mechscope.checkpoints.weights_file import weight_problem
from mechscope.near_names import did_you_mean_clause

Shape = tuple[int, ...]
KINDS: dict[str, Any] = {
    "k": float | None, "d_in": int | None, "d_sae": int | None, "metadata": dict[str, Any] | None,
    "matryoshka_widths": list[int] | None, "group_sizes": list[int] | None, "scaling_factor": float | None,
    "activation_fn_kwargs": dict[str, Any] | None, "hook_name": str | None, "architecture": str | None,
    "dict_class": str | None, "trainer": dict[str, Any] | None, "skip_connection": bool | None,
    "transcode": bool | None,
}  # fmt: skip
"""Settings of other tools that are read here, and the kinds that they must have."""
COUNTS = ("k", "group_sizes")
"""Tensors of whole numbers that are stored beside the weights."""


def check_settings(
    settings: Mapping[str, Any],
    *,
    needed: Collection[str],
    known: Collection[str],
    ignore: Collection[str] = (),
    where: str,
) -> None:
    """Raises ValueError for settings that are missing or of another kind than they must be, and for names that are not
    known: what an unknown setting would have changed, nobody can say. One that is off (null, false, or an empty list or
    object) changes nothing.

    Args:
        needed: must be there.
        known: may be there.
        ignore: names that the caller vouches for.
    """
    missing = [name for name in needed if settings.get(name) is None]
    allowed = {*needed, *known, *ignore}
    unknown = [name for name, value in settings.items() if name not in allowed and not _is_off(value)]
    problems: list[str] = []
    for name, kind in KINDS.items():
        if name in settings and (words := not_of_kind(settings[name], kind)) is not None:
            problems.append(f"{name} must be {words}, not {shown(settings[name])}")
    if missing:
        problems.append(f"missing settings: {', '.join(missing)}")
    if unknown:
        problems.append(f"unknown settings: {', '.join(_with_hint(name, allowed) for name in unknown)}")
    if problems:
        hint = (
            " An unknown setting may change what the weights mean; if it does not, pass ignore=(…) with its name."
            if unknown
            else ""
        )
        raise ValueError(f"{where}: {'; '.join(problems)}.{hint}")


def check_tensors(found: Mapping[str, Tensor], expected: Mapping[str, Shape | None], where: str) -> None:
    """Raises ValueError that lists every missing, unknown or misshapen tensor, and every one that is not a weight: not
    finite, or not floating point.

    Args:
        expected: name → shape; None for any shape.
    """
    problems: list[str] = []
    missing = [name for name in expected if name not in found]
    if missing:
        problems.append(f"missing {', '.join(missing)}")
    unknown = [name for name in found if name not in expected]
    if unknown:
        problems.append(f"unknown {', '.join(unknown)}")
    for name, shape in expected.items():
        if name not in found:
            continue
        if shape is not None and tuple(found[name].shape) != shape:
            problems.append(f"{name} has shape {tuple(found[name].shape)}, not {shape}")
        if (name not in COUNTS or found[name].is_floating_point()) and (
            problem := weight_problem(found[name])
        ) is not None:
            problems.append(f"{name} {problem}")
    if problems:
        raise ValueError(f"{where}: {'; '.join(problems)}.")


def one_of(name: str, value: object, allowed: Iterable[object], where: str) -> None:
    """Raises ValueError if a setting has a value that is not known."""
    choices = list(allowed)
    if not any(value == choice and isinstance(value, bool) == isinstance(choice, bool) for choice in choices):
        raise ValueError(f"{where}: {name} is {value!r}; known are {', '.join(map(repr, choices))}.")


def whole(name: str, value: object, where: str) -> int:
    """The value, if it is a whole number above 0.

    Raises:
        ValueError: if it is not.
    """
    if not is_whole_number(value, least=1):
        raise ValueError(f"{where}: {name} must be a whole number above 0, not {value!r}.")
    return int(value)


def _is_off(value: object) -> bool:
    return value is None or value is False or value in ([], {})


def _with_hint(name: str, known: Collection[str]) -> str:
    hint = did_you_mean_clause(name, known, cutoff=0.8)
    return f"{name} ({hint})" if hint else name
