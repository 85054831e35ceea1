"""The learner's folder: templates, and files that are never overwritten."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from mechscope.course import learner_folder
from mechscope.course.learner_file import function_node, is_empty
from mechscope.course.template import empty_function, function_text, replace_function, template_of
from mechscope.course.unit import Unit, all_units, find_exercises, find_unit


@pytest.mark.parametrize("unit", all_units(), ids=lambda unit: unit.id)
def test_the_template_has_every_function_with_its_docstring_and_an_empty_body(unit: Unit) -> None:
    tree = ast.parse(template_of(unit))
    reference = ast.parse(unit.reference.read_text(encoding="utf-8"))
    for exercise in unit.exercises:
        node, original = function_node(tree, exercise.name), function_node(reference, exercise.name)
        assert node is not None
        assert original is not None
        assert is_empty(node)
        assert not is_empty(original)
        assert ast.get_docstring(node) == ast.get_docstring(original) != None  # noqa: E711
        assert ast.unparse(node.args) == ast.unparse(original.args)


def test_start_writes_all_files_and_leaves_edited_ones_alone(tmp_path: Path) -> None:
    folder = tmp_path / "course"
    names = tuple(unit.file_name for unit in all_units())
    assert learner_folder.start(folder).written == names
    edited = folder / names[1]
    edited.write_text(edited.read_text() + "# mine\n")
    (folder / names[0]).unlink()
    again = learner_folder.start(folder)
    assert (again.written, again.updated, again.edited) == (names[:1], (), names[1:2])
    assert edited.read_text().endswith("# mine\n")


def test_files_of_an_older_course_are_brought_up_to_date_only_if_nobody_edited_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = {unit.id: template_of(unit).replace("def evidence", "def older") for unit in all_units()}
    with monkeypatch.context() as patch:
        patch.setattr(learner_folder, "template_of", lambda unit: older[unit.id])
        learner_folder.start(tmp_path)
    path = tmp_path / find_unit("P").file_name
    path.write_text(path.read_text() + "# mine\n")
    started = learner_folder.start(tmp_path)
    assert started.updated == (find_unit("00").file_name,)
    assert "def evidence" in (tmp_path / find_unit("00").file_name).read_text()
    # The same with an edited file: it stays, and what it lacks is named.
    learner_folder.write_atomically(tmp_path / find_unit("00").file_name, older["00"] + "# mine\n")
    started = learner_folder.start(tmp_path)
    assert [exercise.id for exercise in started.missing] == ["00.evidence"]


def test_a_damaged_marker_loses_nothing(tmp_path: Path) -> None:
    learner_folder.start(tmp_path)
    (tmp_path / learner_folder.MARKER).write_text("{")
    assert learner_folder.start(tmp_path).written == ()
    assert json.loads((tmp_path / learner_folder.MARKER).read_text())["templates"]


def test_reset_empties_one_function_and_keeps_the_file_as_it_was(tmp_path: Path) -> None:
    learner_folder.start(tmp_path)
    exercise = find_exercises("00.evidence")[0]
    path = tmp_path / find_unit("00").file_name
    mine = (
        replace_function(path.read_text(), "evidence", "def evidence(image):\n    return 1\n")
        + "\nMINE = 1\n"
    )
    path.write_text(mine)
    backup = learner_folder.reset(tmp_path, exercise)
    assert backup is not None
    assert backup.read_text() == mine
    assert function_text(path.read_text(), "evidence") == empty_function(find_unit("00"), "evidence")
    assert "MINE = 1" in path.read_text()


def test_reset_adds_a_function_that_was_deleted(tmp_path: Path) -> None:
    learner_folder.start(tmp_path)
    path = tmp_path / find_unit("00").file_name
    path.write_text("import torch\n")
    learner_folder.reset(tmp_path, find_exercises("00.match")[0])
    assert "def match(" in path.read_text()


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "course").write_text("x")
    with pytest.raises(NotADirectoryError, match="is a file: choose another name"):
        learner_folder.start(tmp_path / "course")
