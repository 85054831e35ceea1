"""A unit as a Jupyter notebook, from the same source as the learner's file: the lesson, and a cell per exercise."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mechscope.course.template import function_text, template_of
from mechscope.course.unit import Exercise, Unit, all_units
from mechscope.pages.notebook import INSTALL, Cell, is_as_written, notebook_json
from mechscope.pages.python_source import parse_python
from mechscope.results import versions
from mechscope.storage.files import write_atomically

FOLDER = "notebooks"
"""The folder of the notebooks, in the learner's folder."""
HELPERS = """\
# Check what you write, and ask for help.
from mechscope.course.notebook import check, hint, solution
"""
ABOUT = """\
# Unit {id}: {title}

*{idea}*

Time: {time}. Skip it if: {criterion}

**How to work.** Run the next two cells first. Then write each function where it says `raise NotImplementedError`, run
its cell, and run the cell below it, which checks the function. `hint(name)` gives a hint, and a stronger one each time;
`solution(name)` shows a solution once you have tried.

A check runs in a process of its own with a time limit, so that an endless loop or a crash does not stop this notebook.
It sees your function, and the imports, functions and constants that your function uses. If an exercise builds on an
earlier one that you have not finished, the reference is used for that one.

The file `{file}` has the same exercises: work in either. Progress is kept on this machine and counts for both. Once
mechscope is installed, nothing is fetched from the network.\
"""


def unit_notebook(unit: Unit) -> str:
    """The text of an .ipynb file that has not been run."""
    version = versions(("mechscope",)).get("mechscope", "")
    return notebook_json(list(_cells(unit)), {"unit": unit.id, "version": version})


def notebook_name(unit: Unit) -> str:
    """The name of a unit's notebook: "00_mnist_templates.ipynb"."""
    return f"{Path(unit.file_name).stem}.ipynb"


@dataclass(frozen=True)
class WrittenNotebooks:
    """What `write_notebooks` did, by file name."""

    written: tuple[str, ...]
    """New ones."""
    updated: tuple[str, ...]
    """Those that nobody had edited or run, brought to this version of the course."""
    edited: tuple[str, ...]
    """Those that were edited or run, and are as they were."""


def write_notebooks(folder: Path) -> WrittenNotebooks:
    """Write the notebooks of all units that are missing; bring those to this version that nobody has touched.

    Args:
        folder: the learner's folder; the notebooks go into its folder `notebooks`.

    Raises:
        NotADirectoryError: if there is a file of this name.
        OSError: if they cannot be written.
    """
    if (folder / FOLDER).exists() and not (folder / FOLDER).is_dir():
        raise NotADirectoryError(
            f"{folder / FOLDER} is a file, and the notebooks of the course go into a folder of this name: rename it."
        )
    found: dict[str, list[str]] = {"written": [], "updated": [], "edited": []}
    for unit in all_units():
        path, text = folder / FOLDER / notebook_name(unit), unit_notebook(unit)
        if not path.exists():
            kind = "written"
        elif (before := path.read_text(encoding="utf-8", errors="replace")) == text:
            continue
        else:
            kind = "updated" if is_as_written(before) else "edited"
        if kind != "edited":
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, text)
        found[kind].append(path.name)
    return WrittenNotebooks(**{kind: tuple(names) for kind, names in found.items()})


def _cells(unit: Unit) -> Iterator[Cell]:
    words = {key: getattr(unit, key) for key in ("id", "title", "idea", "time", "criterion")}
    template = template_of(unit)
    yield Cell("markdown", "title", ABOUT.format(**words, file=unit.file_name))
    yield Cell("code", "install", INSTALL)
    yield Cell("code", "set-up", f"{HELPERS}\n{_preamble(unit, template)}")
    placed = 0
    for part in unit.lesson_parts:
        if isinstance(part, Exercise):
            placed += 1
            yield from _exercise(part, template)
        else:
            yield Cell("markdown", f"lesson-{placed}", part.strip())
    yield Cell("markdown", "and-then", f"## And then\n\n{unit.next}")


def _exercise(exercise: Exercise, template: str) -> Iterator[Cell]:
    yield Cell("markdown", f"{exercise.name}-title", f"### {exercise.id}\n\n{exercise.title}")
    yield Cell("code", exercise.name, function_text(template, exercise.name).rstrip())
    yield Cell("code", f"{exercise.name}-check", f"check({exercise.name})  # stuck? hint({exercise.name})")


def _preamble(unit: Unit, template: str) -> str:
    """What the learner's file has besides the exercises: imports, and functions that are given."""
    names = {exercise.name for exercise in unit.exercises}
    lines = template.splitlines()
    tree = parse_python(template)
    # From the end, so that line numbers stay right.
    for node in reversed(tree.body):
        is_exercise = isinstance(node, ast.FunctionDef) and node.name in names
        if is_exercise or (node is tree.body[0] and isinstance(node, ast.Expr)):
            first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])
            del lines[first - 1 : node.end_lineno]
    return re.sub(r"\n{4,}", "\n\n\n", "\n".join(lines).strip())
