"""`mechscope course figure`: the final figure of a unit, drawn with the learner's functions."""

from __future__ import annotations

import json

from mechscope.cli.console import Terminal
from mechscope.cli.course.commands import Figure
from mechscope.cli.errors import UserError, user_errors
from mechscope.course import terminal
from mechscope.course.figure_page import figure_page
from mechscope.course.session import CourseSession
from mechscope.course.unit import all_units, find_unit
from mechscope.storage.files import check_file, write_atomically


def run_figure(command: Figure) -> int:
    """Draw a figure, and write it as a page or as JSON. Exits with 0 only if the number is reproduced."""
    console = Terminal()
    with user_errors():
        unit = find_unit(command.unit)
        session = CourseSession.find(command.folder)
        page = session.folder / "figures" / f"{unit.id.lower()}.html"
        out = command.out or (None if command.json else page)
        if out is not None:
            check_file(out)
    if not unit.has_figure:
        known = ", ".join(other.id for other in all_units() if other.has_figure)
        raise UserError(f"unit {unit.id} has no final figure. Units that have one: {known}.")
    result = session.draw(unit)
    if command.json:
        text = json.dumps(result.to_json())
        if out is None:
            print(text)
            return 0 if result.is_reproduced else 1
    elif result.status == "drawn":
        text = figure_page(unit, result)
    else:
        # A picture of an earlier state is better than none.
        terminal.show_figure(console, unit, result)
        return 1
    assert out is not None
    with user_errors():
        write_atomically(out, f"{text}\n")
    terminal.show_figure(console, unit, result)
    console.print(f"Written: {out}", soft_wrap=True)
    return 0 if result.is_reproduced else 1
