"""What an exercise says: the signature of its function and its docstring."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import dataclass
from functools import cache

from mechscope.course.learner_file import function_node
from mechscope.course.unit import Exercise, Unit, find_unit
from mechscope.pages.python_source import parse_python

ITEM = re.compile(r"- |\d+\. ")
"""How an item of a list begins."""


@dataclass(frozen=True)
class ExerciseText:
    """The words of an exercise."""

    signature: str
    """Its `def` with type hints, over one or several lines."""
    paragraphs: tuple[str, ...]
    """Its docstring: one line per paragraph, or per item of a list."""


@cache
def exercise_text(exercise: Exercise) -> ExerciseText:
    """Read what the reference of an exercise declares."""
    text, tree = _reference(find_unit(exercise.unit))
    node = function_node(tree, exercise.name)
    if node is None:
        raise KeyError(f"the reference of unit {exercise.unit} has no function {exercise.name}.")
    signature = "\n".join(text.splitlines()[node.lineno - 1 : node.body[0].lineno - 1])
    docstring = inspect.cleandoc(ast.get_docstring(node) or "")
    return ExerciseText(signature, tuple(_joined(paragraph) for paragraph in docstring.split("\n\n")))


@cache
def _reference(unit: Unit) -> tuple[str, ast.Module]:
    text = unit.reference.read_text(encoding="utf-8")
    return text, parse_python(text)


def _joined(paragraph: str) -> str:
    """A paragraph on one line, a list with one line per item, and indented code as it is."""
    lines = paragraph.strip().splitlines()
    if not any(line.startswith(("- ", "  ")) for line in lines):
        return " ".join(lines)
    kept: list[str] = []
    for line in lines:
        if line.startswith("  ") and kept and ITEM.match(kept[-1]):
            kept[-1] += f" {line.strip()}"
        else:
            kept.append(line)
    return "\n".join(kept)
