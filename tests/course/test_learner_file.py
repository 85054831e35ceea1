"""Errors of the learner's code, in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from mechscope.course.learner_file import LearnerError, as_learner_error, parse, run_file

HEAD = "import einops\nimport torch\nX = torch.ones(2, 6)\n"


def error_of(folder: Path, code: str) -> LearnerError:
    path = folder / "mine.py"
    path.write_text(HEAD + code)
    try:
        run_file(path, parse(path))
    except LearnerError as error:
        return error
    raise AssertionError("no error was raised")


@pytest.mark.parametrize(
    ("code", "problem", "diagnosis"),
    [
        (
            "np.sqrt(4)",
            "NameError: name 'np' is not defined",
            "Add `import numpy as np` at the top of the file.",
        ),
        ("rearrange(X, 'a b -> b a')", "NameError: ", "Write einops.rearrange, or add"),
        ("unheard", "NameError: ", "Is it misspelt?"),
        ("einops.rearrange(X, 'a (b c) -> a b c')", "EinopsError: Could not infer sizes for ", ""),
        (
            "einops.rearrange(X, 'a -> a')",
            "EinopsError: Wrong shape: expected 1 dims. Received 2-dim tensor.",
            "",
        ),
        ("{'a': 1}['b']", "KeyError: 'b'", "print(list(weights))"),
        ("X.sum().backward()", "RuntimeError: ", "call requires_grad_() on them"),
        (
            "torch.nn.functional.cross_entropy(torch.ones(2, 3, 4), torch.ones(2, 3).long())",
            "RuntimeError: ",
            "axis 1",
        ),
    ],
)
def test_common_errors_say_what_to_do(tmp_path: Path, code: str, problem: str, diagnosis: str) -> None:
    error = error_of(tmp_path, code)
    assert error.problem.startswith(problem)
    assert diagnosis in error.diagnosis
    assert (error.line, error.source) == (4, code)


def test_the_line_that_called_the_function_is_named(tmp_path: Path) -> None:
    error = error_of(
        tmp_path, "def inner(x):\n    return x['b']\n\ndef outer():\n    return inner({})\n\nouter()\n"
    )
    assert (error.line, error.source) == (5, "return x['b']")
    assert error.diagnosis.endswith("inner was called from line 8: return inner({})")


def test_an_error_outside_the_file_has_no_line(tmp_path: Path) -> None:
    error = as_learner_error(ValueError("far away"), tmp_path / "mine.py")
    assert (error.problem, error.line, error.diagnosis) == ("ValueError: far away", 0, "")
