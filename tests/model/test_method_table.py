"""The table in the docstring of `HookedTransformer`: every public method has one row, and every row is true."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import mechscope.model
from mechscope.model.transformer import HookedTransformer

FOLDER = Path(mechscope.model.__file__).parent


def _rows(docstring: str) -> list[tuple[str, str]]:
    """(method, file) pairs of the table; a line without a file continues the one above."""
    table = docstring.partition("that defines them:")[2]
    rows: list[tuple[str, str]] = []
    file = ""
    for line in table.splitlines():
        match = re.fullmatch(r" +(?:([\w/]+\.py) +)?(\w+(?:, \w+)*),?", line)
        if match is None or (match[1] is None and not line.startswith(" " * 20)):
            file = ""  # a heading or an empty line
            continue
        file = match[1] or file
        assert file, f"this line belongs to no file: {line!r}"
        rows += [(name, file) for name in match[2].split(", ")]
    return rows


def _defining_file(name: str) -> str:
    owner = next(base for base in HookedTransformer.__mro__ if name in vars(base))
    return Path(inspect.getfile(owner)).relative_to(FOLDER).as_posix()


def _public_methods() -> set[str]:
    return {
        name
        for base in HookedTransformer.__mro__
        if base.__module__.startswith("mechscope.")
        for name, value in vars(base).items()
        if not name.startswith("_")
        if callable(value) or isinstance(value, (property, classmethod, staticmethod))
    }


ROWS = _rows(inspect.getdoc(HookedTransformer) or "")


@pytest.mark.parametrize(("name", "file"), ROWS)
def test_a_row_is_true(name: str, file: str) -> None:
    assert hasattr(HookedTransformer, name)
    assert _defining_file(name) == file


def test_every_public_method_has_one_row() -> None:
    listed = [name for name, _ in ROWS]
    assert sorted(listed) == sorted(_public_methods())


def test_a_table_is_read_line_by_line() -> None:
    table = """Methods, with the file that defines them:

        Running
            a.py       run, run_again,
                       run_once
            parts/b.py stop

        >>> 1
    """
    assert _rows(table) == [
        ("run", "a.py"),
        ("run_again", "a.py"),
        ("run_once", "a.py"),
        ("stop", "parts/b.py"),
    ]
