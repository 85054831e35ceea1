"""Check the settings of a published dictionary before anything is built, and report every problem in one error."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from mechscope.arguments import is_whole_number, not_of_kind, shown
from mechscope.near_names import did_you_mean_clause

KINDS: dict[str, Any] = {
    "k": float | None, "d_in": int | None, "d_sae": int | None, "metadata": dict[str, Any] | None,
    "matryoshka_widths": list[int] | None, "group_sizes": list[int] | None, "scaling_factor": float | None,
    "activation_fn_kwargs": dict[str, Any] | None, "hook_name": str | None, "architecture": str | None,
    "dict_class": str | None, "trainer": dict[str, Any] | None, "skip_connection": bool | None,
    "transcode": bool | None,
}  # fmt: skip
"""Settings of other tools that are used here → the kind that they must have."""


def check_settings(
    settings: Mapping[str, Any],
    *,
    needed: Collection[str],
    known: Collection[str],
    ignore: Collection[str] = (),
    where: str,
) -> None:
    """Refuse missing, invalid and unknown settings.

    An unknown setting may change what the weights mean, unless it is off (null, false, or an empty list or object).

    Args:
        needed: names of required settings.
        known: names of optional settings.
        ignore: names of unknown settings that the caller knows to make no difference.

    Raises:
        ValueError: listing every problem.
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
            " An unknown setting may change what the weights mean. If it does not, pass ignore=(…) with its name."
            if unknown
            else ""
        )
        raise ValueError(f"{where}: {'; '.join(problems)}.{hint}")


def one_of(name: str, value: object, allowed: Iterable[object], where: str) -> None:
    """Raise ValueError if a setting has an unknown value."""
    choices = list(allowed)
    if not any(value == choice and isinstance(value, bool) == isinstance(choice, bool) for choice in choices):
        raise ValueError(f"{where}: {name} is {value!r}, but must be one of {', '.join(map(repr, choices))}.")


def whole(name: str, value: object, where: str) -> int:
    """Return the value if it is a whole number above 0.

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
