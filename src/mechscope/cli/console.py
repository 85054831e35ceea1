"""What commands print with: a console, tables in which names are never cut, and JSON for scripts."""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

GAP = "  "
"""What stands between two columns."""
LEAST = 10
"""The least characters that are left of a text which is cut."""


class Terminal(Console):
    """A console without rich's own colours for numbers and names.

    Args:
        stderr: whether to print to standard error.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False)

    def on_broken_pipe(self) -> None:
        """Tell `main`, which exits with 141; rich would exit with 1, as if the command had failed."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def print_listing(
    console: Console, headings: Sequence[str], rows: Iterable[Sequence[str | Text]], *, numbers: int = 0
) -> None:
    """Print a table with one line per row. A text in its last column is cut where the terminal ends.

    Nothing else is cut, because half a name or half a number would be another one: a terminal that is too narrow for
    them breaks the lines.

    Args:
        headings: of the columns: a name, then numbers, then names, and a text last.
        numbers: how many columns after the first one have numbers. If these are all, there is no text.
    """
    lines = [[Text(heading, "bold") for heading in headings]]
    lines += [[cell if isinstance(cell, Text) else Text(cell) for cell in row] for row in rows]
    is_cut = len(headings) > numbers + 1
    whole = len(headings) - is_cut
    widths = [max(line[place].cell_len for line in lines) for place in range(whole)]
    room = max(console.width - sum(width + len(GAP) for width in widths), LEAST)
    for line in lines:
        for place, (cell, width) in enumerate(zip(line, widths, strict=False)):
            (cell.pad_left if 0 < place <= numbers else cell.pad_right)(width - cell.cell_len)
        if is_cut:
            line[-1].truncate(room, overflow="ellipsis")
        text = Text(GAP).join(line)
        text.rstrip()
        console.print(text, soft_wrap=True)


def print_json(value: Any) -> None:
    """Print a value as JSON: dataclasses as objects, and null for numbers that are not finite."""
    sys.stdout.write(json.dumps(_plain(value), indent=1, allow_nan=False) + "\n")


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
