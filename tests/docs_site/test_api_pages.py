"""The API reference finds every public name where it is."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from docs_site.api_pages import MODEL_CLASSES, PACKAGES, api_pages, definition, public_names, summary

EVERY = ("mechscope", *PACKAGES)


@pytest.mark.parametrize("package", EVERY)
def test_names_are_defined_where_the_source_says(package: str) -> None:
    names = public_names(package)
    assert names
    for name in names:
        where = definition(package, name)
        home = importlib.import_module(where.module)
        found = getattr(importlib.import_module(package), name)
        assert found is (getattr(home, where.name) if where.name else home), f"{package}.{name}"


def test_every_public_function_and_class_has_a_line_that_says_what_it_is() -> None:
    missing = []
    for package in EVERY:
        for name in public_names(package):
            where = definition(package, name)
            value = getattr(importlib.import_module(package), name)
            if callable(value) and not summary(where) and getattr(value, "__module__", "") == where.module:
                missing.append(f"{package}.{name}")
    assert not missing


def test_every_name_is_described_once_and_linked_from_the_table_of_its_package() -> None:
    pages = api_pages()
    described: list[str] = []
    for text in pages.values():
        for module, names in re.findall(
            r"(?m)^::: ([\w.]+)\n(?:    .*\n)*?(?:      members: \[(.*)\]\n)?$", text
        ):
            described += [f"{module}.{name}" for name in names.split(", ")] if names else [module]
    assert len(described) == len(set(described))
    assert "mechscope.techniques.logit_lens.logit_lens" in described
    assert "mechscope.techniques.logit_lens.LogitLens" in described  # what it returns
    for package in PACKAGES:
        table = pages[f"api/{package.removeprefix('mechscope.')}.md"]
        for name in public_names(package):
            row = re.search(rf"(?m)^\| (\[?`{re.escape(name)}`.*?) \|", table)
            assert row, f"{package}: {name}"
            assert row[1].startswith("["), f"{package}: {name} has no description to link to"


def test_model_classes_have_pages_with_inherited_members() -> None:
    pages = api_pages()
    for name in MODEL_CLASSES:
        assert "inherited_members: true" in pages[f"api/{name}.md"]


def test_a_package_without_public_names_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"mechscope\.reading has no __all__ and no stub"):
        public_names("mechscope.reading")


def test_doctests_become_blocks_of_code(monkeypatch: pytest.MonkeyPatch) -> None:
    # Only the docs extra installs griffe, and this needs nothing of it but the class that is extended.
    monkeypatch.setitem(sys.modules, "griffe", SimpleNamespace(Extension=object))
    monkeypatch.delitem(sys.modules, "docs_site.docstrings", raising=False)
    fence_doctests = importlib.import_module("docs_site.docstrings").fence_doctests
    monkeypatch.delitem(sys.modules, "docs_site.docstrings")

    text = "One line.\n\n>>> 1 + 1\n2\n>>> [1]\n[1]\n\nMore."
    assert fence_doctests(text) == "One line.\n\n```pycon\n>>> 1 + 1\n2\n>>> [1]\n[1]\n```\n\nMore."
    indented = "Raises:\n    ValueError: no.\n\n    >>> f(\n    ...     2)\n       4\n"
    assert fence_doctests(indented).endswith("    ```pycon\n    >>> f(\n    ...     2)\n       4\n    ```\n")


def test_building_the_pages_imports_neither_mechscope_nor_torch() -> None:
    import docs_site.api_pages as module

    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= {"__future__", "ast", "collections", "dataclasses", "functools", "pathlib"}
