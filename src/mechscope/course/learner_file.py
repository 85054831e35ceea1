"""Load the learner's file, and turn what goes wrong in it into one sentence with the learner's own line."""

from __future__ import annotations

import ast
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from mechscope.near_names import did_you_mean
from mechscope.pages.python_source import parse_python

MODULE = "learner"
"""The name of the learner's file as a module."""


class LearnerError(Exception):
    """Something in the learner's file raised an error.

    Args:
        problem: what, in a sentence.
        line: the line in the learner's file; 0 if it is not known.
        source: the text of that line.
        diagnosis: what it usually means; empty if nothing helpful is known.
    """

    def __init__(self, problem: str, line: int = 0, source: str = "", diagnosis: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.line = line
        self.source = source
        self.diagnosis = diagnosis


class OutOfTime(BaseException):
    """The check's time is over. Not an Exception, so that the learner's `except Exception` does not catch it."""


def parse(path: Path) -> ast.Module:
    """The file's syntax tree.

    Raises:
        LearnerError: if it is missing, is no text, or is not valid Python.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise LearnerError(
            f"There is no {path.name} in {path.parent}. `mechscope course start {path.parent}` writes the files that "
            "are missing and leaves the others alone."
        ) from None
    except UnicodeDecodeError:
        raise LearnerError(f"{path.name} is not a text file in UTF-8: save it as one.") from None
    except OSError as error:
        raise LearnerError(f"{path.name} cannot be read: {error.strerror}.") from None
    try:
        return parse_python(text, str(path))
    except SyntaxError as error:
        line = error.lineno or 0
        raise LearnerError(
            f"{path.name} is not valid Python: {error.msg}.", line, _line(text, line)
        ) from None
    except ValueError:
        raise LearnerError(f"{path.name} contains a null character: it is damaged.") from None


def function_node(tree: ast.Module, name: str) -> ast.FunctionDef | None:
    """The definition of a function at the top of a file; the last one, as Python would take it."""
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    return found[-1] if found else None


def is_empty(node: ast.FunctionDef) -> bool:
    """Whether a function still has the empty body of its template."""
    for statement in node.body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue
        if isinstance(statement, ast.Pass):
            continue
        if isinstance(statement, ast.Raise) and "NotImplementedError" in ast.unparse(statement):
            continue
        return False
    return True


def check_function_is_there(path: Path, tree: ast.Module, name: str) -> ast.FunctionDef:
    """The definition of an exercise's function.

    Raises:
        LearnerError: if the file has none; suggests a similar one.
    """
    if node := function_node(tree, name):
        return node
    known = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    question = did_you_mean(name, known)
    renamed = f"{question.strip()} Checks find functions by name." if question else ""
    raise LearnerError(
        f"{path.name} has no function {name}.",
        diagnosis=renamed or f"`mechscope course reset {name}` adds the empty one again.",
    )


def run_file(path: Path, tree: ast.Module) -> ModuleType:
    """Run the learner's file as a module.

    Raises:
        LearnerError: if it raises an error.
    """
    module = ModuleType(MODULE)
    module.__file__ = str(path)
    sys.modules[MODULE] = module
    try:
        exec(compile(tree, str(path), "exec"), module.__dict__)
    except BaseException as error:
        raise as_learner_error(error, path) from None
    return module


def functions_of(module: ModuleType, references: Mapping[str, Callable[..., Any]], passed: set[str]) -> None:
    """Let the reference stand for every function of the unit that the learner has not finished."""
    for name, reference in references.items():
        if name not in passed:
            module.__dict__[name] = reference


def learner_line(error: BaseException, path: Path) -> tuple[int, str]:
    """The innermost line of the learner's file that an error went through, and its text; 0 and "" if it is in none.

    Args:
        path: the learner's file, as an absolute path.
    """
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    return ((frames[-1].lineno or 0), frames[-1].line or "") if frames else (0, "")


def as_learner_error(error: BaseException, path: Path) -> LearnerError:
    """An error that was raised while the learner's code ran, in a sentence."""
    line, source = learner_line(error, path)
    if isinstance(error, ModuleNotFoundError):
        return LearnerError(
            f"{error.name} is not installed.",
            line,
            source,
            "The exercises need torch, einops, numpy and plotly only; they are installed with mechscope.",
        )
    if isinstance(error, SystemExit):
        return LearnerError(
            "Your code ends Python (exit or quit).", line, source, "Use `return` to leave a function."
        )
    if isinstance(error, RecursionError):
        return LearnerError("Your code calls itself without end.", line, source)
    if isinstance(error, MemoryError):
        return LearnerError("Your code needs more memory than a check may use.", line, source, TOO_LARGE)
    if isinstance(error, KeyboardInterrupt | OutOfTime):
        raise error
    name = type(error).__name__
    text = str(error).strip().splitlines()
    if name == "EinopsError":
        # The first line repeats the pattern; what is wrong with it stands in the last.
        where = " ".join(each.strip() for each in text[1:-1]).replace(" Additional info: {}.", "")
        text = [f"{text[-1].strip()} ({where})"]
    meaning = " ".join(filter(None, (_usual_meaning(error), _caller(error, path))))
    return LearnerError(f"{name}: {text[0] if text else 'without a message'}", line, source, meaning)


TOO_LARGE = "Look for a product of two large axes, such as pixels by pixels for every image."
"""What to do about code that needs too much memory."""


def _caller(error: BaseException, path: Path) -> str:
    """Where in the learner's file the function was called in which the error was raised, if it was called there."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    calls = [frame for frame in frames if frame.name != frames[-1].name and not frame.name.startswith("<")]
    return f"{frames[-1].name} was called from line {calls[-1].lineno}: {calls[-1].line}" if calls else ""


USUAL_IMPORTS = {
    "np": "Add `import numpy as np` at the top of the file.",
    "F": "Add `import torch.nn.functional as F` at the top of the file.",
    "nn": "Add `from torch import nn` at the top of the file.",
    "einops": "Add `import einops` at the top of the file.",
    **{
        name: f"Write einops.{name}, or add `from einops import {name}` at the top of the file."
        for name in ("rearrange", "reduce", "repeat", "einsum")
    },
}
"""What to do about a name that is usually imported."""


def _usual_meaning(error: BaseException) -> str:
    text = str(error)
    if "shapes cannot be multiplied" in text or "must match the size" in text or "size mismatch" in text:
        return "Print the shapes of both sides. Which axis should they share?"
    if "expected scalar type" in text or "same dtype" in text:
        return "Two tensors have different dtypes, such as whole numbers and floating-point numbers: use .float()."
    if "has no attribute" in text and "NoneType" in text:
        return "Something is None here. Does the function that you call end with `return`?"
    if "does not require grad" in text:
        return "Autograd follows only tensors with requires_grad: copy the weights, and call requires_grad_() on them."
    if "Expected target size" in text:
        return "cross_entropy expects the classes on axis 1. Make one axis of batch and positions: .flatten(0, 1)."
    if isinstance(error, KeyError):
        return "The dictionary has no such key. Print the keys that it has: print(list(weights))."
    if isinstance(error, NameError):
        wanted = USUAL_IMPORTS.get(getattr(error, "name", "") or "")
        return wanted or "A name is used before it gets a value. Is it misspelt?"
    return ""


def _line(text: str, number: int) -> str:
    lines = text.splitlines()
    return lines[number - 1].strip() if 0 < number <= len(lines) else ""
