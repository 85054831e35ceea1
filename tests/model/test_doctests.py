"""The examples in the docstrings of `model/`, `arguments/`, `patching/` and the top-level modules run as written."""

from __future__ import annotations

import doctest
import importlib
import sys
from pathlib import Path

import pytest
import torch

import mechscope

SOURCE = Path(mechscope.__file__).parent
FILES = [
    path
    for pattern in ("*.py", "model/**/*.py", "arguments/*.py", "patching/*.py")
    for path in sorted(SOURCE.glob(pattern))
    if ">>> " in path.read_text(encoding="utf-8")
]


def _module(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("name", [_module(path) for path in FILES])
def test_examples_run(name: str) -> None:
    importlib.import_module(name)
    # Some classic modules have the name of a class, which hides them as an attribute of the package.
    module = sys.modules[name]
    found = doctest.testmod(module, extraglobs={"torch": torch})
    assert found.attempted > 0
    assert found.failed == 0
