"""Make the learner's file from a unit's solutions: the same functions and docstrings, with empty bodies."""

from __future__ import annotations

import ast
import textwrap

from mechscope.course.unit import Unit
from mechscope.pages.python_source import parse_python

EMPTY = "raise NotImplementedError"
HEADER = '''"""{title}

{idea}

The lesson: {lesson}
Check what you wrote:   mechscope course check {id}
Check whenever you save: mechscope course watch
Stuck?                  mechscope course hint {first}
"""
'''


def template_of(unit: Unit) -> str:
    """The learner's file of a unit."""
    text = unit.reference.read_text(encoding="utf-8")
    tree = parse_python(text)
    lines = text.splitlines()
    names = {exercise.name for exercise in unit.exercises}
    # From the end, so that line numbers stay right.
    for node in reversed(tree.body):
        if isinstance(node, ast.FunctionDef) and node.name in names:
            lines[_body_start(node) - 1 : node.end_lineno] = [f"    {EMPTY}"]
    body = "\n".join(lines[_end_of_docstring(tree) :]).strip()
    header = HEADER.format(
        title=unit.title,
        idea=textwrap.fill(unit.idea, 100),
        lesson=f"mechscope course lesson {unit.id}",
        id=unit.id,
        first=unit.exercises[0].id,
    )
    return f"{header}\n{body}\n"


def empty_function(unit: Unit, name: str) -> str:
    """One function of the learner's file as the course ships it."""
    return function_text(template_of(unit), name)


def solution(unit: Unit, name: str) -> str:
    """The solution of an exercise as text."""
    return function_text(unit.reference.read_text(encoding="utf-8"), name)


def function_text(text: str, name: str) -> str:
    """The lines of a function at the top of a file, its decorators included.

    Raises:
        KeyError: if there is no such function.
    """
    first, last = function_lines(text, name)
    return "\n".join(text.splitlines()[first - 1 : last]) + "\n"


def replace_function(text: str, name: str, function: str) -> str:
    """The file with a function replaced; added at the end if the file has none of this name."""
    lines = text.splitlines()
    try:
        first, last = function_lines(text, name)
    except KeyError:
        return f"{text.rstrip()}\n\n\n{function}"
    lines[first - 1 : last] = function.rstrip().splitlines()
    return "\n".join(lines) + "\n"


def function_lines(text: str, name: str) -> tuple[int, int]:
    """The first and the last line of a function, counted from 1.

    Raises:
        KeyError: if there is no such function.
        SyntaxError: if the file is not valid Python.
    """
    for node in reversed(parse_python(text).body):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            return first, node.end_lineno or node.lineno
    raise KeyError(f"there is no function {name!r} in the file.")


def _body_start(node: ast.FunctionDef) -> int:
    """The first line after the docstring."""
    first = node.body[0]
    has_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return node.body[1].lineno if has_docstring else first.lineno


def _end_of_docstring(tree: ast.Module) -> int:
    first = tree.body[0]
    return (first.end_lineno or 0) if isinstance(first, ast.Expr) else 0
