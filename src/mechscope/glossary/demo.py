"""The demo of an entry: a function without arguments, named like the entry, in a module named after its section."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mechscope.glossary.entry import SECTIONS, Entry
from mechscope.pages.python_source import parse_python

if TYPE_CHECKING:
    from mechscope.pages.figures import PageFigure

DEMOS = Path(__file__).parent / "demos"


def function_name(entry: Entry) -> str:
    """The name of an entry's demo: its slug with underscores."""
    return entry.slug.replace("-", "_")


def has_demo(entry: Entry) -> bool:
    """Whether there is a demo. Imports nothing."""
    return function_name(entry) in _sources(entry.section)


def demo_source(entry: Entry) -> str:
    """The code of the demo. Imports nothing.

    Raises:
        KeyError: if there is no demo.
    """
    return _found(entry)[1]


def demo_of(entry: Entry) -> Callable[[], PageFigure]:
    """The demo.

    Raises:
        KeyError: if there is no demo.
    """
    module = importlib.import_module(f"mechscope.glossary.demos.{_found(entry)[0]}")
    return getattr(module, function_name(entry))


def run_demo(entry: Entry) -> PageFigure:
    """Draw the figure of an entry.

    Raises:
        KeyError: if there is no demo.
    """
    from mechscope.pages.figures import set_height

    figure = demo_of(entry)()
    set_height(figure.figure)
    return figure


def demo_names() -> dict[str, list[str]]:
    """Section → names of its demos, whether or not an entry belongs to them. Imports nothing."""
    return {section: list(_sources(section)) for section in SECTIONS}


def _found(entry: Entry) -> tuple[str, str]:
    sources = _sources(entry.section)
    if function_name(entry) not in sources:
        raise KeyError(f"{entry.slug} has no demo. `mechscope glossary {entry.slug}` prints the entry.")
    return sources[function_name(entry)]


@cache
def _sources(section: str) -> Mapping[str, tuple[str, str]]:
    """Function → its module and its code, for the public functions of a section's modules."""
    found: dict[str, tuple[str, str]] = {}
    for path in sorted((*DEMOS.glob(f"{section}.py"), *DEMOS.glob(f"{section}_*.py"))):
        text = path.read_text(encoding="utf-8")
        for node in parse_python(text).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                if node.name in found:
                    raise ValueError(
                        f"{path.name} and {found[node.name][0]}.py both have a demo {node.name}."
                    )
                code = "\n".join(text.splitlines()[node.lineno - 1 : node.end_lineno])
                found[node.name] = (path.stem, f"{code}\n")
    return found
