"""Units as notebooks: whole, valid, and never overwritten once a learner has touched them."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from mechscope.course import unit_notebook
from mechscope.course.learner_file import function_node, is_empty
from mechscope.course.template import empty_function, template_of
from mechscope.course.unit import PLACE, Unit, all_units
from mechscope.course.unit_notebook import notebook_name, write_notebooks
from mechscope.pages.notebook import is_as_written

every_unit = pytest.mark.parametrize("unit", all_units(), ids=lambda unit: unit.id)


def cells_of(unit: Unit) -> dict[str, Any]:
    return {cell["id"]: cell for cell in json.loads(unit_notebook.unit_notebook(unit))["cells"]}


def source(cell: Any) -> str:
    return "".join(cell["source"])


@every_unit
def test_it_is_a_valid_notebook_that_was_not_run(unit: Unit) -> None:
    nbformat = pytest.importorskip("nbformat", reason="needs mechscope[notebook]")
    text = unit_notebook.unit_notebook(unit)
    nbformat.validate(nbformat.reads(text, as_version=nbformat.NO_CONVERT))
    assert is_as_written(text)
    assert text == unit_notebook.unit_notebook(unit)


@every_unit
def test_every_exercise_is_there_empty_and_followed_by_its_check(unit: Unit) -> None:
    cells = cells_of(unit)
    order = list(cells)
    for exercise in unit.exercises:
        written = source(cells[exercise.name])
        assert written == empty_function(unit, exercise.name).rstrip()
        node = function_node(ast.parse(written), exercise.name)
        assert node is not None
        assert is_empty(node)
        assert order[order.index(exercise.name) + 1] == f"{exercise.name}-check"
        assert source(cells[f"{exercise.name}-check"]).startswith(f"check({exercise.name})")


@every_unit
def test_the_set_up_has_all_else_of_the_learner_s_file(unit: Unit) -> None:
    given = ast.parse(source(cells_of(unit)["set-up"])).body
    names = {exercise.name for exercise in unit.exercises}
    expected = [
        node
        for node in ast.parse(template_of(unit)).body[1:]
        if not (isinstance(node, ast.FunctionDef) and node.name in names)
    ]
    assert [ast.unparse(node) for node in given[1:]] == [ast.unparse(node) for node in expected]


@every_unit
def test_the_whole_lesson_is_there_in_order(unit: Unit) -> None:
    texts = [source(cell) for cell in cells_of(unit).values() if cell["cell_type"] == "markdown"]
    shown = "\n\n".join(texts)
    assert "[[" not in shown
    lesson = PLACE.sub("", unit.lesson.read_text(encoding="utf-8"))
    place = 0
    for line in filter(None, map(str.strip, lesson.splitlines())):
        assert line in shown[place:], line
        place = shown.index(line, place)
    assert unit.next in texts[-1]


def test_notebooks_that_were_edited_or_run_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = tuple(notebook_name(unit) for unit in all_units())
    assert write_notebooks(tmp_path).written == names
    again = write_notebooks(tmp_path)
    assert (again.written, again.updated, again.edited) == ((), (), ())
    edited, run, deleted = (tmp_path / "notebooks" / name for name in names[:3])
    content = json.loads(edited.read_text(encoding="utf-8"))
    content["cells"][-1]["source"] = ["mine"]
    edited.write_text(json.dumps(content), encoding="utf-8")
    content = json.loads(run.read_text(encoding="utf-8"))
    content["cells"][1]["execution_count"] = 1
    run.write_text(json.dumps(content), encoding="utf-8")
    deleted.unlink()
    before = edited.read_bytes(), run.read_bytes()
    # A later version of the course, in which every notebook is different.
    monkeypatch.setattr(unit_notebook, "ABOUT", unit_notebook.ABOUT + "\n\nNew.")
    later = write_notebooks(tmp_path)
    assert (later.written, later.updated, later.edited) == (names[2:3], names[3:], names[:2])
    assert (edited.read_bytes(), run.read_bytes()) == before
    edited.write_text("damaged", encoding="utf-8")
    assert write_notebooks(tmp_path).edited == names[:2]
    assert edited.read_text(encoding="utf-8") == "damaged"
