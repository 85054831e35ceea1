"""How whole numbers are read from the command line: as people write them, with errors that say what is wrong."""

from __future__ import annotations

import re
from contextlib import suppress
from types import NoneType
from typing import Any, get_args

from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+")


def whole_number(text: str) -> int:
    """The whole number that a text stands for.

    >>> whole_number("200_000"), whole_number("200,000"), whole_number("2e5")
    (200000, 200000, 200000)

    Raises:
        ValueError: for any other text, and for a number with a fraction.
    """
    plain = text.replace(",", "") if _THOUSANDS.fullmatch(text) else text
    with suppress(ValueError):
        return int(plain)
    with suppress(ValueError):
        if (number := float(plain)).is_integer():
            return int(number)
    raise ValueError(f"{text!r} is not a whole number; 200000, 200_000 and 2e5 are.")


def whole_numbers() -> ConstructorRegistry:
    """What `tyro.cli` needs to read all options for whole numbers in this way, also those that may be omitted."""
    registry = ConstructorRegistry()

    @registry.primitive_rule
    def rule(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
        if info.type is not int and set(get_args(info.type)) != {int, NoneType}:
            return None
        return PrimitiveConstructorSpec(
            nargs=1,
            metavar="N",
            instance_from_str=lambda words: whole_number(words[0]),
            is_instance=lambda value: (
                value is None or (isinstance(value, int) and not isinstance(value, bool))
            ),
            str_from_instance=lambda value: [str(value)],
        )

    return registry
