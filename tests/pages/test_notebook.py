"""Notebooks as files: valid for Jupyter, the same for the same cells, and an edit is noticed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mechscope.pages.notebook import Cell, is_as_written, notebook_json

nbformat: Any = pytest.importorskip("nbformat", reason="needs mechscope[notebook]")

CELLS = (
    Cell("markdown", "title", "# A title\n\nα < β & “words”"),
    Cell("code", "add", "x = 1\nx + 1", ("parameters",)),
)


def written(cells: tuple[Cell, ...] = CELLS) -> str:
    return notebook_json(cells, {"step": "99"})


def test_jupyter_reads_what_was_written() -> None:
    notebook = nbformat.reads(written(), as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert [(cell.cell_type, cell.id, cell.source) for cell in notebook.cells] == [
        (cell.kind, cell.id, cell.source) for cell in CELLS
    ]
    assert notebook.cells[1].metadata.tags == ["parameters"]
    assert notebook.cells[1].outputs == []
    assert notebook.cells[1].execution_count is None
    assert notebook.metadata.mechscope.step == "99"


def test_equal_cells_give_equal_text() -> None:
    assert written() == written()
    assert written() != written(CELLS[:1])


def test_jupyter_saving_it_is_no_edit() -> None:
    notebook = nbformat.reads(written(), as_version=4)
    assert is_as_written(written())
    assert is_as_written(nbformat.writes(notebook))


def edited(change: str) -> str:
    content = json.loads(written())
    if change == "text":
        content["cells"][0]["source"].append("more")
    elif change == "order":
        content["cells"].reverse()
    elif change == "cell":
        content["cells"].append(content["cells"][0])
    elif change == "run":
        content["cells"][1]["execution_count"] = 1
    elif change == "output":
        content["cells"][1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "2"}]
    elif change == "origin":
        del content["metadata"]["mechscope"]
    return json.dumps(content)


@pytest.mark.parametrize("change", ["text", "order", "cell", "run", "output", "origin"])
def test_an_edit_is_noticed(change: str) -> None:
    assert not is_as_written(edited(change))


@pytest.mark.parametrize(
    "text", ["", "not JSON", "[]", "{}", '{"cells": 3}', '{"cells": [{}], "metadata": null}', '"\ud800"']
)
def test_anything_else_counts_as_edited(text: str) -> None:
    assert not is_as_written(text)


@pytest.mark.parametrize("name", ["", "two words", "ä", "x" * 65])
def test_an_impossible_id(name: str) -> None:
    with pytest.raises(ValueError, match="is not an id"):
        written((Cell("code", name, "1"),))


def test_an_id_twice() -> None:
    with pytest.raises(ValueError, match="'add' is used twice"):
        written((*CELLS, CELLS[1]))
