"""What the cells of a unit's notebook say, and a whole notebook in a real kernel."""

from __future__ import annotations

import html
import os
from pathlib import Path
from typing import Any

import pytest

from mechscope.course import notebook
from mechscope.course.notebook import check, hint, solution
from mechscope.course.notebook_display import shown_result
from mechscope.course.progress import Progress
from mechscope.course.result import CheckResult
from mechscope.course.template import solution as solution_text
from mechscope.course.unit import find_exercises, find_unit
from mechscope.course.unit_notebook import unit_notebook

UNIT = find_unit("00")
EXERCISE = find_exercises("00.evidence")[0]
HEAD = "def evidence(image, weights, right, wrong):\n"
WRONG = f"{HEAD}    print('here')\n    return weights[right] * image"
CONSTANT = "SIGN = 1"
RIGHT = f"{HEAD}    return SIGN * (weights[right] - weights[wrong]) * image"
CRASH = "def match(*arguments):\n    import os, signal\n\n    os.kill(os.getpid(), signal.SIGSEGV)"
ERROR = "# A comment.\n\ndef mask_top_pixels(*arguments):\n    return undefined_name"


@pytest.fixture(autouse=True)
def progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Progress:
    monkeypatch.setenv("MECHSCOPE_COURSE_PROGRESS", str(tmp_path / "progress.sqlite"))
    return Progress()


# In a kernel ----------------------------------------------------------------------------------------


# Jupyter's client warns about its own event loop and about ports that the system chose.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the crash is a signal")
def test_a_notebook_checks_what_stands_in_its_cells(tmp_path: Path, progress: Progress) -> None:
    nbformat: Any = pytest.importorskip("nbformat", reason="needs mechscope[notebook]")
    nbclient: Any = pytest.importorskip("nbclient", reason="needs nbclient and ipykernel")
    pytest.importorskip("ipykernel", reason="needs nbclient and ipykernel")
    book = nbformat.reads(unit_notebook(UNIT), as_version=4)
    cells = {cell.id: cell for cell in book.cells}
    for exercise in UNIT.exercises[:3]:
        cells[exercise.name].source = solution_text(UNIT, exercise.name)
    cells["evidence"].source, cells["match"].source, cells["mask_top_pixels"].source = WRONG, CRASH, ERROR
    cells["evidence-check"].source = "check(evidence, seed=7)"
    more = [
        "hint(evidence)",
        CONSTANT,
        RIGHT,
        "check(evidence)",
        "check('hidden_template')",
        "solution(match)",
    ]
    book.cells += [nbformat.v4.new_code_cell(source, id=f"more-{n}") for n, source in enumerate(more)]
    kept = {cell.id for cell in book.cells if not cell.id.startswith(("smallest", "rotate", "remove"))}
    book.cells = [cell for cell in book.cells if cell.id in kept]
    source = str(Path(__file__).parents[2] / "src")
    client = nbclient.NotebookClient(
        book, timeout=300, allow_errors=True, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute(env={**os.environ, "PYTHONPATH": source, "IPYTHONDIR": str(tmp_path / ".ipython")})
    ran = {cell.id: cell for cell in book.cells}

    def shown(cell: str) -> tuple[str, str]:
        output = ran[cell].outputs[-1]
        return output.data["text/plain"], output.data["text/html"]

    for exercise in UNIT.exercises[:3]:
        assert shown(f"{exercise.name}-check")[0].startswith(f"✓ {exercise.id}")
    plain, page = shown("evidence-check")
    assert "evidence for `right` alone" in plain
    assert "Your code printed:\nhere" in plain
    assert "The same inputs again: check(evidence, seed=7)\nStuck? hint(evidence)" in plain
    assert "evidence for <code>right</code> alone" in page.split("<strong>")[2]
    # A check that may take long says so first.
    assert "Checking 00.train_linear, which may take up to" in ran["train_linear-check"].outputs[0].text
    assert shown("match-check")[0].splitlines()[1] == "Your code crashed Python (SIGSEGV)."
    failed = shown("mask_top_pixels-check")[0]
    assert "NameError: name 'undefined_name' is not defined" in failed
    assert "line 4 of its cell: return undefined_name" in failed
    assert "not begun yet" in shown("hidden_templates-check")[0]
    assert EXERCISE.hints[0] in shown("more-0")[0]
    assert shown("more-3")[0].startswith("✓ 00.evidence")
    assert "there is no unit or exercise 'hidden_template'. Did you mean" in ran["more-4"].outputs[-1].evalue
    assert solution_text(UNIT, "match").splitlines()[0] in shown("more-5")[0]
    # Progress is where the terminal keeps it.
    states = progress.states()
    assert states["00.train_linear"].passed
    assert (states["00.evidence"].attempts, states["00.evidence"].passed) == (2, True)
    assert (states["00.evidence"].hints, states["00.match"].hints) == (1, 4)
    assert "00.hidden_templates" not in states


# Without one ----------------------------------------------------------------------------------------


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The cells that were run."""
    cells: list[str] = []
    monkeypatch.setattr(notebook, "executed_cells", lambda: cells)
    return cells


def test_a_finished_function_is_used_and_an_unfinished_one_replaced(
    run: list[str], progress: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts: list[str] = []

    def instead(session: Any, exercise: Any, seed: int | None) -> CheckResult:
        texts.append(session.path(exercise).read_text())
        result = CheckResult(exercise.id, "passed", seed or 0)
        session.progress.record(result, session.digest(exercise))
        return result

    monkeypatch.setattr(notebook.CourseSession, "check", instead)
    own = "def softmax_gradient(images, labels, weights, bias):\n    return 1"
    run += [own, "def train_linear(*all):\n    return softmax_gradient(*all)"]
    check("train_linear")
    assert own not in texts[0]
    assert "mnist_templates.reference import softmax_gradient, " in texts[0]
    check("softmax_gradient")
    check("train_linear")
    assert own in texts[2]
    assert "import softmax_gradient, " not in texts[2]
    # It was changed after it passed: the reference again.
    run.append(own.replace("1", "2"))
    check("train_linear")
    assert "import softmax_gradient, " in texts[3]


def test_what_is_no_exercise_or_was_not_run(run: list[str]) -> None:
    def evidense() -> None: ...

    with pytest.raises(KeyError, match="there is no unit or exercise 'evidense'"):
        check(evidense)
    with pytest.raises(
        ValueError, match=r"no cell that was run defines evidence\. Run the cell with `def evidence"
    ):
        check("evidence")
    with pytest.raises(KeyError, match="'00' names 10 exercises"):
        hint("00")


def test_hints_come_one_by_one_and_the_solution_after_trying(progress: Progress) -> None:
    assert "You have not tried 00.evidence yet" in solution("evidence").plain
    for level in (0, 1, 2, 2):
        assert EXERCISE.hints[level] in hint("evidence").plain
    assert progress.state("00.evidence").hints == 3
    assert solution_text(UNIT, "evidence").rstrip() in solution("evidence", now=True).plain
    assert progress.state("00.evidence").hints == 4


def test_what_the_learner_s_code_says_is_escaped() -> None:
    hostile = "<script>alert(1)</script>"
    result = CheckResult(EXERCISE.id, "broken", 1, 0.1, hostile, hostile, hostile, 3, hostile, hostile)
    shown = shown_result(result, EXERCISE, None)
    page = shown._repr_mimebundle_()["text/html"]
    assert hostile not in page
    assert page.count(html.escape(hostile)) == 5
    assert shown.plain.count(hostile) == 5


def test_the_end_of_a_unit_is_celebrated() -> None:
    passed = CheckResult(EXERCISE.id, "passed", 1)
    plain = shown_result(passed, EXERCISE, None, "Read on.", "The disk is full.").plain
    assert plain.splitlines()[1:] == [
        "Unit 00 is done.",
        "Read on.",
        "That was the last exercise. Well done!",
        "The disk is full.",
    ]
