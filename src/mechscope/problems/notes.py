"""The notes of a started problem: the template, and what a reader has written into it."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mechscope.pages.formatting import day_in_words

TEMPLATE = Path(__file__).parent / "templates" / "notes.md"
NOTES = "notes.md"
_HEADING = re.compile(r"## +(.+?)\s*")
_FENCE = re.compile(r"\s*(```|~~~)")


@dataclass(frozen=True)
class Notes:
    """What a reader has written."""

    parts: Mapping[str, str]
    """Heading → Markdown below it, without the questions of the template; every heading of the template is there,
    and then the reader's own."""

    @property
    def empty(self) -> list[str]:
        """The headings of the template below which nothing is written yet."""
        return [heading for heading in prompts() if not self.parts[heading]]

    @property
    def unfinished(self) -> str:
        """What is still to be written, in words; empty if nothing is.

        >>> read_notes("## Result\\nIt is 3.").unfinished
        'nothing is written yet below Prediction, Red team and Next step'
        """
        if not self.empty:
            return ""
        *most, last = self.empty
        return f"nothing is written yet below {', '.join(most)}{' and ' if most else ''}{last}"


def new_notes(title: str, when: datetime.date) -> str:
    """The notes of a problem that somebody begins to work on."""
    template = TEMPLATE.read_text(encoding="utf-8")
    return template.replace("{title}", title).replace("{day}", day_in_words(when))


def read_notes(text: str) -> Notes:
    """Split notes at their headings.

    >>> read_notes("## Result\\nIt is 3.").empty
    ['Prediction', 'Red team', 'Next step']
    """
    questions = set(prompts().values())
    parts: dict[str, list[str]] = {heading: [] for heading in prompts()}
    lines: list[str] = []  # what comes before the first heading is the template's
    is_code = False
    for line in text.splitlines():
        is_code ^= bool(_FENCE.match(line))
        heading = None if is_code else _HEADING.fullmatch(line)
        if heading:
            lines = parts.setdefault(heading[1], [])
        elif line.strip() not in questions:
            lines.append(line)
    return Notes({heading: "\n".join(lines).strip() for heading, lines in parts.items()})


@cache
def prompts() -> Mapping[str, str]:
    """Heading → the template's question below it."""
    lines = TEMPLATE.read_text(encoding="utf-8").splitlines()
    return {
        found[1]: lines[place + 1].strip()
        for place, line in enumerate(lines)
        if (found := _HEADING.fullmatch(line))
    }
