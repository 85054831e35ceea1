"""Frozen dataclasses of settings that check themselves, and that turn into JSON and back. Does not load torch.

Each field's annotation gives its kind and its range:

    @dataclass(frozen=True, kw_only=True)
    class TrainingConfig(Settings):
        steps: PositiveInt
        lr: PositiveFloat = 3e-4
        revive: Literal["auxiliary", "none"] = "auxiliary"

`TrainingConfig(steps=0)` is an error, `decode(TrainingConfig, mapping, "a training")` also refuses unknown and missing
names, and `to_dict` gives a mapping that `decode` reads back.
"""

from __future__ import annotations

import dataclasses
import numbers
import types
import typing
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, cast

from mechscope.arguments import not_of_kind, shown
from mechscope.near_names import did_you_mean, did_you_mean_clause

T = TypeVar("T")
MOST = 2**40
"""More features, activations or steps than any machine has room or time for."""

MOST_LISTED = 24
"""An error lists the known names only if there are no more than this."""


@dataclass(frozen=True)
class Range:
    """The numbers that a setting may have; None means no limit."""

    least: float | None = None
    """The smallest allowed number."""
    above: float | None = None
    """Numbers must be larger than this."""
    most: float | None = None
    """The largest allowed number."""
    below: float | None = None
    """Numbers must be smaller than this."""

    def problem(self, value: float, kind: str = "a number") -> str | None:
        """What a number should have been, in words; None if it is in the range.

        >>> Range(above=0, most=1).problem(1.5), Range(least=1).problem(0, "a whole number"), Range(least=1).problem(3)
        ('a number of at most 1', 'a whole number of at least 1', None)
        """
        if self.least is not None and not value >= self.least:
            return f"{kind} of at least {self.least:,}"
        if self.above is not None and not value > self.above:
            return f"{kind} above {self.above:,}"
        if self.most is not None and not value <= self.most:
            return f"{kind} of at most {self.most:,}"
        if self.below is not None and not value < self.below:
            return f"{kind} below {self.below:,}"
        return None


PositiveInt = Annotated[int, Range(least=1, most=MOST)]
NonNegativeInt = Annotated[int, Range(least=0, most=MOST)]
PositiveFloat = Annotated[float, Range(above=0)]
NonNegativeFloat = Annotated[float, Range(least=0)]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A base for frozen dataclasses of settings: checks every field against its annotation, and lists become tuples."""

    def __post_init__(self) -> None:
        for name, value in checked_values(type(self), vars(self)).items():
            object.__setattr__(self, name, value)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; `decode` reads them back."""
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}


def decode(kind: type[T], settings: Mapping[str, Any], what: str, *, finite: bool = True) -> T:
    """The dataclass `kind` with these settings; fields that are dataclasses themselves are decoded too.

    Args:
        what: what the settings describe, for errors.
        finite: whether numbers must be finite. Settings must be; measurements need not.

    Raises:
        ValueError: for unknown names, with the closest known ones; for missing names; and for every value of the wrong
            kind or out of range.

    >>> @dataclass(frozen=True, kw_only=True)
    ... class Schedule(Settings):
    ...     steps: PositiveInt
    ...     lr: PositiveFloat = 1e-3
    >>> decode(Schedule, {"steps": 10}, "a schedule")
    Schedule(steps=10, lr=0.001)
    >>> decode(Schedule, {"steps": 0, "lr": -1}, "a schedule")
    Traceback (most recent call last):
    ValueError: a schedule: steps must be a whole number of at least 1, not 0; lr must be a number above 0, not -1.
    """
    if not isinstance(settings, Mapping):
        raise ValueError(f"{what} must be a table of settings, not {shown(settings)}.")
    fields = {field.name: field for field in dataclasses.fields(cast("Any", kind))}
    needed = [
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    check_names(settings, fields, needed, what)
    hints = _hints(kind)
    values = {
        name: _decoded(value, hints[name], f"{name} in {what}", finite) for name, value in settings.items()
    }
    try:
        values = checked_values(kind, values, finite=finite)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from error
    return kind(**values)


def check_names(
    given: Iterable[str],
    known: Collection[str],
    needed: Iterable[str],
    what: str,
    *,
    noun: str = "setting",
) -> None:
    """Refuse unknown and missing names.

    Args:
        what: what the names belong to, for errors.
        noun: what a name stands for, for errors.

    Raises:
        ValueError: listing every unknown name, with the closest known ones, or every missing name.
    """
    given = list(given)
    others = f" It has: {', '.join(known)}." if len(known) <= MOST_LISTED else ""
    unknown = [name for name in given if name not in known]
    if len(unknown) == 1:
        hint = did_you_mean(str(unknown[0]), known, n=3) or others
        raise ValueError(f"{what} has no {noun} {unknown[0]!r}.{hint}")
    if unknown:
        hints = [did_you_mean_clause(str(name), known) for name in unknown]
        listed = ", ".join(
            f"{name!r} ({hint})" if hint else repr(name) for name, hint in zip(unknown, hints, strict=True)
        )
        raise ValueError(f"{what} has no {noun}s {listed}.{others}")
    if missing := [name for name in needed if name not in given]:
        raise ValueError(f"{what} needs {', '.join(missing)}.")


def checked_values(kind: type, values: Mapping[str, Any], *, finite: bool = True) -> dict[str, Any]:
    """Values of a dataclass's fields; lists become tuples where the annotation says so, and NumPy's numbers Python's.

    Raises:
        ValueError: naming every value of the wrong kind or out of range.
    """
    problems: list[str] = []
    found: dict[str, Any] = {}
    for name, hint in _hints(kind).items():
        if name not in values:
            continue
        value = values[name]
        words = _problem(value, hint, finite)
        if words is not None:
            nearest = did_you_mean_clause(value, _choices(hint), show=repr) if isinstance(value, str) else ""
            problems.append(
                f"{name} must be {words}, not {shown(value)}" + (f" ({nearest})" if nearest else "")
            )
        value = _python_numbers(value)
        found[name] = tuple(value) if isinstance(value, list) and _wants_tuple(hint) else value
    if problems:
        raise ValueError(f"{'; '.join(problems)}.")
    return found


@cache
def _hints(kind: type) -> dict[str, Any]:
    """The annotations of a dataclass's fields, ranges included."""
    names = {field.name for field in dataclasses.fields(kind)}
    found = typing.get_type_hints(kind, include_extras=True)
    return {name: hint for name, hint in found.items() if name in names}


def _alternatives(hint: Any) -> tuple[Any, ...]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(each for part in typing.get_args(hint) for each in _alternatives(part))
    return (hint,)


def _without_ranges(hint: Any) -> Any:
    """An annotation as `not_of_kind` reads it."""
    if typing.get_origin(hint) is Annotated:
        return _without_ranges(typing.get_args(hint)[0])
    if len(options := _alternatives(hint)) > 1:
        return typing.Union[tuple(_without_ranges(option) for option in options)]  # noqa: UP007 - made at run time
    if typing.get_origin(hint) in (tuple, list):
        inside = [each if each is ... else _without_ranges(each) for each in typing.get_args(hint)]
        return typing.get_origin(hint)[tuple(inside)]
    return hint


def _problem(value: Any, hint: Any, finite: bool) -> str | None:
    """What a value should have been, in words; None if it fits one of the annotation's alternatives."""
    options = _alternatives(hint)
    if value is None and types.NoneType in options:
        return None
    problems = [
        not_of_kind(value, _without_ranges(option), finite=finite) or _out_of_range(value, option, finite)
        for option in options
        if option is not types.NoneType
    ]
    return None if None in problems or not problems else ", or ".join(dict.fromkeys(map(str, problems)))


def _out_of_range(value: Any, hint: Any, finite: bool) -> str | None:
    """What a value of the right kind should have been, in words; None if it is allowed."""
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return None if value in inside else f"one of {', '.join(map(repr, inside))}"
    if origin is Annotated and isinstance(inside[1], Range):
        return inside[1].problem(value, "a whole number" if inside[0] is int else "a number")
    if origin in (tuple, list) and isinstance(value, (tuple, list)):
        items = cast("list[Any]", value)
        kinds = inside if origin is tuple and inside[1:] != (...,) else (inside[0],) * len(items)
        for item, each in zip(items, kinds, strict=True):
            if (words := _problem(item, each, finite)) is not None:
                return f"a list (each entry {words})"
    return None


def _choices(hint: Any) -> list[str]:
    """The words that a setting may be, if it is one of a few."""
    literals = [option for option in _alternatives(hint) if typing.get_origin(option) is Literal]
    return [str(choice) for option in literals for choice in typing.get_args(option)]


def _python_numbers(value: Any) -> Any:
    """A value whose numbers are Python's, because JSON has no others."""
    if isinstance(value, (list, tuple)):
        items = cast("list[Any]", value)
        return type(value)(map(_python_numbers, items)) if type(value) in (list, tuple) else value
    if isinstance(value, numbers.Integral) and not isinstance(value, int):
        return int(value)
    if isinstance(value, numbers.Real) and not isinstance(value, (int, float)):
        return float(value)
    return value


def _wants_tuple(hint: Any) -> bool:
    return any(typing.get_origin(option) is tuple for option in _alternatives(hint))


def _decoded(value: Any, hint: Any, what: str, finite: bool) -> Any:
    """A value, with mappings turned into the dataclasses that the annotation names."""
    options = _alternatives(hint)
    if value is None and types.NoneType in options:
        return None
    for option in options:
        if dataclasses.is_dataclass(option):
            kind = cast("type[Any]", option)
            return value if isinstance(value, kind) else decode(kind, cast("Any", value), what, finite=finite)
        inside = typing.get_args(option)
        if isinstance(value, (list, tuple)) and inside and dataclasses.is_dataclass(inside[0]):
            items = cast("list[Any]", value)
            return tuple(
                _decoded(item, inside[0], f"entry {index} of {what}", finite)
                for index, item in enumerate(items)
            )
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, Settings):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in cast("list[Any]", value)]
    return value
