"""Find entries by name, by a misspelt name, and by their text; and the path that leads to one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mechscope.glossary.entry import find_entry
from mechscope.glossary.paths import reading_path
from mechscope.glossary.search import search
from tests.glossary.entries import made_entry


@pytest.mark.parametrize(
    "name", ["cherry-picking", "Cherry picking", "CHERRY_PICKING", "forking paths", "selection effects"]
)
def test_names_are_found_however_they_are_written(name: str) -> None:
    assert find_entry(name).slug == "cherry-picking"
    assert search(name)[0].slug == "cherry-picking"


def test_an_unknown_name_suggests_similar_ones() -> None:
    with pytest.raises(KeyError, match=r"no entry 'microscop'\. Did you mean microscope-ai\?"):
        find_entry("microscop")


@pytest.mark.parametrize(
    ("query", "slug"),
    [
        ("chery pikcing", "cherry-picking"),
        ("reverse enginering", "reverse-engineering"),
        ("luckiest coincidence", "cherry-picking"),  # full text, with another ending
        ("machine code", "reverse-engineering"),
    ],
)
def test_typos_and_full_text(query: str, slug: str) -> None:
    assert search(query)[0].slug == slug


@pytest.mark.parametrize("query", ["qqqqqq", "", '"', "AND", "cherry NEAR( *", "name:"])
def test_signs_of_the_search_language_are_plain_text(query: str) -> None:
    assert "qqqqqq" not in query or search(query) == []
    assert isinstance(search(query), list)


def test_a_path_has_everything_once_and_in_order() -> None:
    entries = {
        entry.slug: entry
        for entry in (
            made_entry("top", before=("left", "right")),
            made_entry("left", before=("root",)),
            made_entry("right", before=("root", "left")),
            made_entry("root"),
        )
    }
    assert [entry.slug for entry in reading_path(entries["top"], entries)] == ["root", "left", "right", "top"]


def test_a_cycle_names_its_members() -> None:
    entries = {
        "a": made_entry("a", before=("b",)),
        "b": made_entry("b", before=("c",)),
        "c": made_entry("c", before=("b",)),
    }
    with pytest.raises(ValueError, match="b → c → b"):
        reading_path(entries["a"], entries)
    with pytest.raises(ValueError, match="a wants gone to be read first"):
        reading_path(made_entry("a", before=("gone",)), {})


def test_reading_and_searching_need_no_torch() -> None:
    code = (
        "import sys; from mechscope.cli.main import main\n"
        "try: main(['glossary', 'chery'])\n"
        "except SystemExit as stopped: assert not stopped.code\n"
        "assert 'torch' not in sys.modules and 'plotly' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
