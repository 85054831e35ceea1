"""Checks in processes of their own: whatever the learner's code does, the answer is a sentence."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mechscope.course.result import CheckResult
from mechscope.course.runner import MEMORY, CheckRunner
from mechscope.course.template import replace_function, solution, template_of
from mechscope.course.unit import find_exercises, find_unit

EXERCISE = dataclasses.replace(find_exercises("00.evidence")[0], seconds=2.0)
HEAD = "def evidence(image, weights, right, wrong):\n"


@pytest.fixture(scope="module")
def runner() -> CheckRunner:
    return CheckRunner()


def check(runner: CheckRunner, folder: Path, body: str, memory: int = MEMORY) -> CheckResult:
    text = replace_function(template_of(find_unit("00")), "evidence", body)
    path = folder / "00_mnist_templates.py"
    path.write_text(text)
    return runner.run(EXERCISE, path, set(), 7, memory)


def test_the_solution_passes(runner: CheckRunner, tmp_path: Path) -> None:
    result = check(runner, tmp_path, solution(find_unit("00"), "evidence"))
    assert (result.status, result.problem, result.seed) == ("passed", "", 7)


def test_a_known_mistake_is_named(runner: CheckRunner, tmp_path: Path) -> None:
    result = check(runner, tmp_path, HEAD + "    print('here')\n    return weights[right] * image\n")
    assert result.status == "failed"
    assert "evidence for `right` alone" in result.diagnosis
    assert result.call.startswith("evidence(image: float32[")
    assert result.printed.strip() == "here"


LOOP = "        while True:\n            pass\n"
ITSELF = "return evidence(image, weights, right, wrong)"
CASES = {
    "shapes": (
        "    return weights[right] @ weights\n",
        "broken",
        "RuntimeError: ",
        "return weights[right] @ weights",
    ),
    "import": ("    import not_there\n", "broken", "not_there is not installed.", "import not_there"),
    "exit": ("    exit()\n", "broken", "Your code ends Python (exit or quit).", "exit()"),
    "recursion": (f"    {ITSELF}\n", "broken", "Your code calls itself without end.", ITSELF),
    "loop": (
        f"    if True:\n{LOOP}",
        "stopped",
        "Your function did not finish within 2 seconds of computing.",
        None,
    ),
    "loop in try": (
        f"    try:\n{LOOP}    except Exception:\n        return image\n",
        "stopped",
        "Your function did not finish",
        None,
    ),
    "os._exit": (
        "    import os\n    os._exit(3)\n",
        "stopped",
        "Your code ended Python before the check was done.",
        "",
    ),
    "crash": (
        "    import os, signal\n    os.kill(os.getpid(), signal.SIGSEGV)\n",
        "stopped",
        "Your code crashed Python (SIGSEGV).",
        "",
    ),
    "in place": (
        "    image *= 2\n    return image\n",
        "failed",
        "Your function changed its argument image.",
        "",
    ),
    "none": ("    pass\n    return None\n", "failed", "The evidence: nothing (None) was returned.", ""),
}
"""What the learner wrote → status, beginning of the problem, and the line that is shown (None: any)."""


@pytest.mark.parametrize(("body", "status", "problem", "line"), CASES.values(), ids=CASES)
def test_broken_code_gets_one_sentence(
    runner: CheckRunner, tmp_path: Path, body: str, status: str, problem: str, line: str | None
) -> None:
    result = check(runner, tmp_path, HEAD + body)
    assert (result.status, result.problem[: len(problem)]) == (status, problem)
    if line is not None:
        assert result.source == line
    assert "Traceback" not in result.problem + result.printed


def test_endless_prints_are_cut_off(runner: CheckRunner, tmp_path: Path) -> None:
    body = HEAD + "    for number in range(20_000):\n        print('flood')\n    return image\n"
    result = check(runner, tmp_path, body)
    assert result.status == "failed"
    assert len(result.printed) < 5_000
    assert result.printed.endswith("more characters")


def test_too_much_memory_is_stopped(runner: CheckRunner, tmp_path: Path) -> None:
    # A quarter of a GiB each; waiting is no computing.
    body = HEAD + "    import time\n    kept = [torch.ones(2**26) for _ in range(6)]\n    time.sleep(30)\n"
    result = check(runner, tmp_path, body, memory=2**30)
    assert result.status == "stopped"
    assert result.problem == "Your code used more than 1 GiB of memory and was stopped."


def test_functions_that_are_not_finished_are_the_references(runner: CheckRunner, tmp_path: Path) -> None:
    exercise = find_exercises("00.train_linear")[0]
    unit = find_unit("00")
    text = replace_function(template_of(unit), "train_linear", solution(unit, "train_linear"))
    text = replace_function(text, "softmax_gradient", "def softmax_gradient(*arguments):\n    return 1, 2\n")
    path = tmp_path / unit.file_name
    path.write_text(text)
    assert runner.run(exercise, path, set(), 0).status == "passed"
    # If the learner's own function counts, its fault shows.
    assert runner.run(exercise, path, {"softmax_gradient"}, 0).status != "passed"


def test_a_check_that_is_itself_wrong_does_not_blame_the_learner(runner: CheckRunner, tmp_path: Path) -> None:
    wrong = dataclasses.replace(EXERCISE, unit="XX")
    path = tmp_path / "00_mnist_templates.py"
    path.write_text(HEAD + "    return image\n")
    with pytest.raises(RuntimeError, match="itself failed with seed 0"):
        runner.run(wrong, path, set(), 0)


def test_a_figure_that_is_shown_prints_nothing(runner: CheckRunner, tmp_path: Path) -> None:
    body = (
        HEAD
        + "    import plotly.express as px\n    px.line([1, 2]).show()\n    return weights[right] * image\n"
    )
    assert check(runner, tmp_path, body).printed == ""
