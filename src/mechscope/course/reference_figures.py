"""The final figures as the references draw them, which pages show to readers who have written nothing yet.

    python -m mechscope.course.reference_figures [UNIT…]

writes `figure.json` in the folders of these units, or of all.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from mechscope.course.result import FigureResult
from mechscope.course.unit import Unit, all_units, find_unit
from mechscope.storage.files import write_atomically

FILE = "figure.json"


def reference_figure(unit: Unit) -> FigureResult | None:
    """The shipped figure of a unit; None if it has none."""
    path = unit.folder / FILE
    if not path.is_file():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    for name in ("yours", "references", "expected"):
        content[name] = tuple(content[name])
    return FigureResult(**content)


def write_reference_figure(unit: Unit) -> Path:
    """Draw the figure of a unit with the references, and write it into the unit's folder."""
    from mechscope.course.checking import references_of
    from mechscope.course.drawing import as_result, draw_with

    result = as_result(unit, draw_with(unit, references_of(unit)))
    return write_atomically(unit.folder / FILE, json.dumps(result.to_json(), ensure_ascii=False) + "\n")


def main(names: Sequence[str]) -> None:
    """Write the figures of the units that are named, or of all."""
    for unit in map(find_unit, names) if names else all_units():
        if unit.has_figure:
            sys.stdout.write(f"{write_reference_figure(unit)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
