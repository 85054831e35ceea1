"""The file in which a learner solves a mystery model, and its grades."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mechscope.course.learner_file import (
    LearnerError,
    as_learner_error,
    function_node,
    is_empty,
    learner_line,
    parse,
    run_file,
)
from mechscope.storage.files import write_atomically

PARTS: Mapping[str, str] = {
    "explain": "the program",
    "heads": "the heads that matter",
    "attention": "what they attend to",
    "exceptions": "the exception",
}
"""Function of the learner's file → what it is about."""

STARTER = '''"""Mystery {seed}

A model that was not trained but compiled from a small program. It reads six letters from a to e and gives one answer.
On most inputs it follows a rule. Somebody has hidden an exception in it: on a few inputs it answers otherwise.
Find out how it works, and write what you found into the four functions below.

Grade it:       mechscope course mystery {seed}
Another one:    mechscope course mystery
How to begin:   mechscope course lesson A
"""

from mechscope.course.challenges.mystery import every_input, mystery

Tokens = tuple[str, ...]


def explain(tokens: Tokens) -> str:
    """The model's answer to an input, without running it. It is compared on all 15,625 inputs."""
    raise NotImplementedError


def heads() -> list[tuple[int, int]]:
    """The heads that matter, as (layer, head), both counted from 0.

    Each of them, mean-ablated alone, has to change some answers, and all the others together none.
    """
    raise NotImplementedError


def attention(layer: int, head: int, tokens: Tokens) -> list[float]:
    """What a head that matters attends to from the last position, without running the model: seven numbers that add up
    to 1. The first is for the beginning-of-sequence token, the others are for the six letters.
    """
    raise NotImplementedError


def exceptions(n: int) -> list[Tokens]:
    """n different inputs on which the model does not follow its rule."""
    raise NotImplementedError


if __name__ == "__main__":
    # Investigate here, or in a notebook: python {file}
    subject = mystery({seed})
    print(subject.model)
    for tokens in every_input(subject)[:5]:
        print(" ".join(tokens), subject.answers([tokens])[0])
'''


@dataclass(frozen=True)
class PartResult:
    """The grade of one function of the learner's file."""

    part: str
    """The function."""
    status: str
    """passed, failed, not-started or broken."""
    words: str
    """What was found, in a sentence or two."""
    line: int = 0
    """The line of the learner's file that raised an error; 0 if none did."""
    source: str = ""
    """The text of that line."""


def file_name(seed: int) -> str:
    """The name of a mystery's file."""
    return f"mystery_{seed}.py"


def write_starter(folder: Path, seed: int) -> Path:
    """Write the file with four empty functions.

    Raises:
        NotKeptError: if it cannot be written.
    """
    name = file_name(seed)
    return write_atomically(folder / name, STARTER.format(seed=seed, file=name))


def grade_file(path: Path, seed: int) -> tuple[PartResult, ...]:
    """Grade the four functions of a learner's file.

    Raises:
        LearnerError: if the file cannot be read or run.
    """
    path = path.resolve()
    tree = parse(path)
    module = run_file(path, tree)
    results: list[PartResult] = []
    for part in PARTS:
        node = function_node(tree, part)
        if node is None:
            results.append(PartResult(part, "broken", f"{path.name} has no function {part}."))
        elif is_empty(node):
            results.append(PartResult(part, "not-started", "Not begun yet."))
        else:
            results.append(_graded(part, module.__dict__[part], path, seed))
    return tuple(results)


def _graded(part: str, function: Callable[..., Any], path: Path, seed: int) -> PartResult:
    from mechscope.course.challenges.mystery import GRADERS
    from mechscope.course.challenges.subject import AskedTheModelError

    try:
        grade = GRADERS[part](seed, function)
    except AskedTheModelError as error:
        return PartResult(part, "failed", str(error), *learner_line(error, path))
    except Exception as error:
        found = error if isinstance(error, LearnerError) else as_learner_error(error, path)
        words = f"{found.problem} {found.diagnosis}".strip()
        return PartResult(part, "broken", words, found.line, found.source)
    return PartResult(part, "passed" if grade.passed else "failed", grade.words)
