"""Parse Python source, one thread at a time."""

from __future__ import annotations

import ast
import threading

_PARSER = threading.Lock()


def parse_python(text: str, filename: str = "<unknown>") -> ast.Module:
    """The syntax tree of a program.

    The web lab answers in several threads. In CPython 3.11 two of them that parse at once can disturb each other: the
    parser counts its depth in one place for all threads, and raises "AST constructor recursion depth mismatch".

    Raises:
        SyntaxError: if it is not valid Python.
        ValueError: if it contains a null character.
    """
    with _PARSER:
        return ast.parse(text, filename=filename)
