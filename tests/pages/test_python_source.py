"""Parsing in several threads."""

from __future__ import annotations

import ast
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from mechscope.pages.python_source import parse_python


def test_threads_parse_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    inside, crowds = threading.Semaphore(1), []
    parse = ast.parse

    def watched(text: str, filename: str) -> ast.Module:
        alone = inside.acquire(blocking=False)
        crowds.append(not alone)
        time.sleep(0.01)
        if alone:
            inside.release()
        return parse(text, filename=filename)

    monkeypatch.setattr(ast, "parse", watched)
    with ThreadPoolExecutor(4) as pool:
        trees = list(pool.map(parse_python, ["x = 1"] * 8))
    assert crowds == [False] * 8
    assert ast.unparse(trees[0]) == "x = 1"


def test_invalid_source_is_refused_with_its_line() -> None:
    with pytest.raises(SyntaxError) as error:
        parse_python("x = 1\ny = (", "mine.py")
    assert (error.value.filename, error.value.lineno) == ("mine.py", 2)
