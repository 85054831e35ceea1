"""Fill the numbers into a text: Jinja templates with filters that format a measured number."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, TemplateSyntaxError, Undefined, UndefinedError

from mechscope.near_names import did_you_mean_clause
from mechscope.pages.formatting import with_minus

_NOT_A_NUMBER = "not a number"


def fill_text(text: str, values: Mapping[str, Any], *, minus_signs: bool = True) -> str:
    """Fill a text's `{{ name | filter }}` marks, and keep or drop its `{% if … %}` paragraphs.

    >>> text = "Loss {{ loss | nats }}{% if peer is defined %}, peer {{ peer | nats }}{% endif %}."
    >>> fill_text(text, {"loss": 1.25})
    'Loss 1.25\xa0nats.'

    Args:
        values: name → number, word, list or object with fields. A float needs a filter (one of `FILTERS`): its sixteen
            digits are never what a reader wants.
        minus_signs: replace the hyphens of negative numbers in words by minus signs.

    Raises:
        KeyError: for a name without a value, with the nearest names.
        ValueError: for a mistake in the template's syntax, a float without a filter, or a filter on a value that is
            not a number.
    """
    try:
        environment = _ENVIRONMENT if minus_signs else _VERBATIM
        return environment.from_string(text).render(values)
    except UndefinedError as error:
        raise KeyError(_missing(str(error.message), values)) from error
    except TemplateSyntaxError as error:
        raise ValueError(
            f"line {error.lineno} of the text is not a valid template: {error.message}"
        ) from error


def fill_page(template: Path, /, **values: Any) -> str:
    """Fill the Markdown template of a generated page; words, such as tables that quote code, stay as they are.

    Returns:
        The page, which ends with one line break.

    Raises:
        KeyError, ValueError: as `fill_text`.
    """
    text = fill_text(template.read_text(encoding="utf-8"), values, minus_signs=False)
    return text.rstrip("\n") + "\n"


def fixed(value: float, digits: int = 2) -> str:
    """A number with this many digits after the point.

    >>> fixed(-0.127), fixed(12.0, 1)
    ('−0.13', '12.0')
    """
    return _formatted(value, f".{digits}f")


def whole(value: float) -> str:
    """A number without decimals, its thousands separated.

    >>> whole(12345.6)
    '12,346'
    """
    return _formatted(value, ",.0f")


def percent(value: float, digits: int = 0) -> str:
    """A number of percent.

    >>> percent(92.57, 1)
    '92.6\xa0%'
    """
    return _with_unit(fixed(value, digits), "%")


def share(value: float, digits: int = 0) -> str:
    """A fraction, written in percent.

    >>> share(0.125, 1)
    '12.5\xa0%'
    """
    return percent(100 * _number(value), digits)


def change(value: float, digits: int = 0) -> str:
    """A relative change, written in percent with its sign.

    >>> change(-0.23), change(0.5)
    ('−23\xa0%', '+50\xa0%')
    """
    return _with_unit(_formatted(100 * _number(value), f"+.{digits}f"), "%")


def nats(value: float, digits: int = 2) -> str:
    """A loss.

    >>> nats(0.5, 3)
    '0.500\xa0nats'
    """
    return _with_unit(fixed(value, digits), "nats")


def scientific(value: float, digits: int = 1) -> str:
    """A very small or large number.

    >>> scientific(0.0000123)
    '1.2e-05'
    """
    return _formatted(value, f".{digits}e")


def significant(value: float, digits: int = 2) -> str:
    """A number rounded to this many significant digits and written out.

    >>> significant(11834.0), significant(0.01234), significant(10.53, 3)
    ('12,000', '0.012', '10.5')
    """
    if not math.isfinite(_number(value)) or abs(value) < 10:
        return _formatted(value, f".{digits}g")
    rounded = float(f"{value:.{digits}g}")
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    return _formatted(rounded, f",.{decimals}f")


def listed(values: Sequence[object], last: str = ", ") -> str:
    """Several words or whole numbers in a row.

    >>> listed(["1.4", "1.7", "2.0"], " and ")
    '1.4, 1.7 and 2.0'
    """
    words = [str(value) for value in values]
    return last.join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


FILTERS = {
    function.__name__: function
    for function in (fixed, whole, percent, share, change, nats, scientific, significant, listed)
}
"""Name → filter, as templates use it."""


def _number(value: float) -> float:
    if isinstance(value, Undefined):
        str(value)  # raises the error that names it
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is not a number; this filter formats numbers.")
    return value


def _formatted(value: float, how: str) -> str:
    return with_minus(format(value, how)) if math.isfinite(_number(value)) else _NOT_A_NUMBER


def _with_unit(words: str, unit: str) -> str:
    # The space between them does not break: a line must not end between a number and its unit.
    return words if words == _NOT_A_NUMBER else f"{words}\u00a0{unit}"


def _without_float(value: object) -> object:
    if isinstance(value, float):
        raise ValueError(
            f"the text writes the number {value!r} without a filter; add one of {', '.join(FILTERS)}."
        )
    return value


def _with_minus_signs(value: object) -> object:
    return with_minus(value) if isinstance(value, str) else _without_float(value)


def _missing(message: str, values: Mapping[str, Any]) -> str:
    quoted = re.search(r"'([^']+)' is undefined", message)
    if quoted is None:
        return f"the text asks for something without a value: {message}."
    hint = did_you_mean_clause(quoted[1], values, n=3) or f"there are: {', '.join(sorted(values)) or 'none'}."
    return f"the text asks for {quoted[1]!r}, which has no value; {hint}"


_ENVIRONMENT = Environment(
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    finalize=_with_minus_signs,
    # LaTeX is full of "{#": "\frac{#1}".
    comment_start_string="{##",
    comment_end_string="##}",
)
_ENVIRONMENT.filters |= FILTERS
_VERBATIM = _ENVIRONMENT.overlay(finalize=_without_float)
