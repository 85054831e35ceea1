"""The learner's function as a file of its own, put together from the cells that a notebook has run.

A check runs in another process, which knows nothing of the notebook. It gets the function and what the function uses:
imports, helper functions and constants, each in the version that was run last. Nothing else of the notebook is run.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mechscope.pages.python_source import parse_python


@dataclass(frozen=True)
class Statement:
    """A statement at the top of a cell."""

    cell: int
    """The number of the cell, in the order in which cells were run."""
    line: int
    """Its first line in the cell, counted from 1."""
    text: str
    names: frozenset[str]
    """The names that it defines."""
    needs: frozenset[str]
    """The names that it uses."""
    is_star: bool = False
    """Whether it imports everything that a module has."""


@dataclass(frozen=True)
class FunctionSource:
    """A function with what it needs, as the text of a file."""

    text: str
    lines: tuple[int, ...]
    """For each line of the text its line in its cell, counted from 1; 0 for a line of ours. Empty for a whole file."""

    def cell_line(self, line: int) -> int:
        """The line of its cell that a line of the text comes from; 0 if it comes from none."""
        return self.lines[line - 1] if 0 < line <= len(self.lines) else 0


def source_of(
    name: str, cells: Sequence[str], given: Collection[str] = (), preamble: Sequence[str] = ()
) -> FunctionSource | None:
    """A function and what it needs, from the cells that were run; None if no cell defines it.

    Args:
        name: of the function.
        cells: what was run, in order.
        given: names that are not taken from the cells.
        preamble: lines of ours that come first.

    >>> cells = ["import math", "SCALE = 2", "def area(r):\\n    return SCALE * math.pi * r", "area(3)"]
    >>> print(source_of("area", cells).text)
    import math
    SCALE = 2
    def area(r):
        return SCALE * math.pi * r
    <BLANKLINE>
    """
    statements = [statement for number, cell in enumerate(cells) for statement in _statements(number, cell)]
    last = {each: statement for statement in statements for each in statement.names}
    if name not in last:
        return None
    chosen = {statement for statement in statements if statement.is_star}
    waiting = [name]
    seen = set(given) - {name}
    while waiting:
        wanted = waiting.pop()
        if wanted in seen or wanted not in last:
            continue
        seen.add(wanted)
        chosen.add(last[wanted])
        waiting += last[wanted].needs
    ordered = sorted(chosen, key=lambda statement: (statement.cell, statement.line))
    lines, places = list(preamble), [0] * len(preamble)
    for statement in ordered:
        own = statement.text.splitlines()
        lines += own
        places += range(statement.line, statement.line + len(own))
    return FunctionSource("\n".join(lines) + "\n", tuple(places))


def file_source_of(function: Callable[..., Any]) -> str | None:
    """The text of the file that a function was imported from; None if it comes from none."""
    try:
        path = inspect.getsourcefile(function)
    except TypeError:
        return None
    return Path(path).read_text(encoding="utf-8") if path and Path(path).is_file() else None


def executed_cells() -> list[str]:
    """What this notebook has run, in order; empty outside of a notebook."""
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return []
    shell = get_ipython()
    return [] if shell is None else [str(cell) for cell in shell.user_ns.get("In", [])]


def _statements(number: int, cell: str) -> list[Statement]:
    try:
        tree = parse_python(cell)
    except (SyntaxError, ValueError):
        # Such a cell did not run.
        return []
    lines = cell.splitlines()
    found: list[Statement] = []
    for node in tree.body:
        names = _defined(node)
        star = isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names)
        if names or star:
            decorators = getattr(node, "decorator_list", [])
            first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
            text = "\n".join(lines[first - 1 : node.end_lineno])
            found.append(Statement(number, first, text, frozenset(names), frozenset(_used(node)), star))
    return found


def _defined(node: ast.stmt) -> set[str]:
    """The names that a statement defines at the top of its cell."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).partition(".")[0] for alias in node.names} - {"*"}
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return {
            each.id
            for target in targets
            for each in ast.walk(target)
            if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
        }
    if isinstance(node, ast.If | ast.Try):
        # Such as an import that may fail.
        inner = [
            *node.body,
            *node.orelse,
            *(part for each in getattr(node, "handlers", []) for part in each.body),
        ]
        return {name for statement in inner for name in _defined(statement)}
    return set()


def _used(node: ast.stmt) -> set[str]:
    return {
        each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)
    }
