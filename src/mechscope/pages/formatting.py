"""Format numbers, times and names for a page."""

from __future__ import annotations

import datetime
import html
import math
import re

from markupsafe import Markup

_CODE = re.compile(r"`([^`\n]+)`")
_HYPHEN = re.compile(r"(?<![\w.)-])-(?=\.?\d)")

# Not from the locale: the pages are in English.
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip


def code_spans(text: str) -> Markup:
    """Escape a text for a page, and mark text between backticks as code.

    >>> code_spans("set `A<B>`, then run")
    Markup('set <code>A&lt;B&gt;</code>, then run')
    """
    return Markup(_CODE.sub(r"<code>\1</code>", html.escape(text, quote=False)))


def with_minus(text: str) -> str:
    """Replace the hyphens of negative numbers by minus signs; names such as GPT-2 keep their hyphens.

    >>> with_minus("-0.4 to 3, GPT-2, 1e-05")
    '−0.4 to 3, GPT-2, 1e-05'
    """
    return _HYPHEN.sub("\u2212", text)


def number(value: float) -> str:
    """Format a measured number with three or four digits.

    >>> number(-0.41234), number(1234.5), number(float("nan"))
    ('−0.412', '1234', 'not a number')
    """
    if not math.isfinite(value):
        return "not a number"
    # Tiny numbers are upper bounds on errors, of which one digit is enough.
    digits = ".0e" if 0 < abs(value) < 1e-3 else ".4g" if abs(value) >= 10 else ".3g"
    return with_minus(format(value, digits))


def duration(seconds: float) -> str:
    """Format a time in seconds, minutes or hours.

    >>> duration(41.6), duration(3492), duration(12600)
    ('42\xa0s', '58\xa0min', '3\xa0h\xa030\xa0min')
    """
    if seconds < 99.5:
        return f"{seconds:.0f}\u00a0s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes}\u00a0min"
    hours, rest = divmod(minutes, 60)
    return f"{hours}\u00a0h" + (f"\u00a0{rest}\u00a0min" if rest else "")


def file_size(size: int) -> str:
    """Format a number of bytes with two digits, as it is written for a rough size.

    >>> file_size(90_000), file_size(2_380_000), file_size(41_700_000_000)
    ('90\\xa0kB', '2.4\\xa0MB', '42\\xa0GB')
    """
    value, unit = float(size), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    digits = 1 if value < 9.95 and unit != "bytes" else 0
    return f"{value:,.{digits}f}\u00a0{unit}"


def day_in_words(when: datetime.date) -> str:
    """A date.

    >>> day_in_words(datetime.datetime(2026, 3, 9, 14, 5))
    '9 March 2026'
    """
    return f"{when.day} {MONTHS[when.month - 1]} {when.year}"


def time_in_words(when: datetime.datetime) -> str:
    """A date and time; a time with a time zone is given in that of this machine.

    >>> time_in_words(datetime.datetime(2026, 3, 9, 14, 5))
    '9 March 2026, 14:05'
    """
    here = when if when.tzinfo is None else when.astimezone()
    return f"{day_in_words(here)}, {here:%H:%M}"


def first_capital(words: str) -> str:
    """Capitalize the first letter and leave the rest as it is (GPT-2 stays GPT-2).

    >>> first_capital("models of GPT-2's size")
    "Models of GPT-2's size"
    """
    return words[:1].upper() + words[1:]
