"""Check arguments and settings against their annotations before any work begins, and show values in errors.

`checked_arguments` and `checked_constructor` check calls; `check_kinds` checks settings, such as those read from a
file, against a dataclass. An error names the argument, what was found and what was expected. Values of the right type
that make no sense (a layer that does not exist) are for the function itself to refuse.

Importing this package does not import torch, so that every room may use it.
"""

from mechscope.arguments._annotations import expected, fits
from mechscope.arguments._checking import (
    WrongArgumentError,
    check_switches,
    checked_arguments,
    checked_constructor,
)
from mechscope.arguments._numbers import NUMBER_WORDS, is_number, is_whole_number
from mechscope.arguments._shown import (
    brief_repr,
    first_line,
    is_array,
    one_line,
    shown,
    visible,
    visible_token,
)
from mechscope.arguments._values import check_kinds, hints_of, not_of_kind

__all__ = [
    "NUMBER_WORDS",
    "WrongArgumentError",
    "brief_repr",
    "check_kinds",
    "check_switches",
    "checked_arguments",
    "checked_constructor",
    "expected",
    "first_line",
    "fits",
    "hints_of",
    "is_array",
    "is_number",
    "is_whole_number",
    "not_of_kind",
    "one_line",
    "shown",
    "visible",
    "visible_token",
]
