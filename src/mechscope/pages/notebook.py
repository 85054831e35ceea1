"""Jupyter notebooks as files: cells in, the JSON of format 4.5 out. No Jupyter package is needed to write one.

Source of the format: https://nbformat.readthedocs.io/en/latest/format_description.html
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

CELL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
INSTALL = """\
# Hosted notebooks begin without mechscope. Where it is installed, this cell does nothing.
import importlib.util

if importlib.util.find_spec("mechscope") is None:
    %pip install --quiet "mechscope[notebook]"\
"""
"""The first code cell of a notebook."""


@dataclass(frozen=True)
class Cell:
    """One cell of a notebook that has not been run."""

    kind: Literal["markdown", "code"]
    """Text in Markdown, or Python."""
    id: str
    """Its name in the file, unique in the notebook: 1 to 64 letters, digits, hyphens and underscores."""
    source: str
    """What it says, without a line break at the end."""
    tags: tuple[str, ...] = ()
    """Labels for programs that run notebooks, such as "parameters"."""


@dataclass(frozen=True)
class Shown:
    """Something that a notebook displays when it is the last line of a cell."""

    plain: str
    """What a terminal shows."""
    markdown: str = ""
    """What a notebook shows: Markdown …"""
    html: str = ""
    """… or HTML."""

    def _repr_mimebundle_(self, **options: object) -> dict[str, str]:
        kinds = {"text/plain": self.plain, "text/markdown": self.markdown, "text/html": self.html}
        return {kind: content for kind, content in kinds.items() if content}


def notebook_json(cells: Sequence[Cell], made_by: Mapping[str, str]) -> str:
    """The notebook as the text of an .ipynb file. Equal cells give equal text.

    Args:
        cells: from top to bottom.
        made_by: what to note in the file about its origin, such as the version of this package.

    Raises:
        ValueError: if an id is not allowed, or used twice.
    """
    seen: set[str] = set()
    for cell in cells:
        if not CELL_ID.fullmatch(cell.id) or cell.id in seen:
            problem = "is used twice" if cell.id in seen else "is not an id"
            raise ValueError(
                f"{cell.id!r} {problem}: cells have different ids of 1 to 64 letters, digits, - and _."
            )
        seen.add(cell.id)
    content = {
        "cells": [_cell_to_json(cell) for cell in cells],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "mechscope": {**made_by, "digest": _digest([(cell.kind, cell.source) for cell in cells])},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def is_as_written(text: str) -> bool:
    """Whether a notebook is still as `notebook_json` wrote it: no cell was edited, added or run.

    A file that is not a notebook of ours counts as edited.
    """
    try:
        content = json.loads(text)
        cells = [(cell["cell_type"], "".join(cell["source"])) for cell in content["cells"]]
        digest = content["metadata"]["mechscope"]["digest"]
        was_run = any(cell.get("outputs") or cell.get("execution_count") for cell in content["cells"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return False
    return not was_run and digest == _digest(cells)


def _cell_to_json(cell: Cell) -> dict[str, Any]:
    common: dict[str, Any] = {
        "cell_type": cell.kind,
        "id": cell.id,
        "metadata": {"tags": list(cell.tags)} if cell.tags else {},
        # As in files that Jupyter writes, so that comparing two versions line by line works.
        "source": cell.source.splitlines(keepends=True),
    }
    return common if cell.kind == "markdown" else {**common, "execution_count": None, "outputs": []}


def _digest(cells: Sequence[tuple[str, str]]) -> str:
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()[:16]
