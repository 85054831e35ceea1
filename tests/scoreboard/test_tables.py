"""The tables that come with mechscope are those of the pages in the docs, and survive being written and read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mechscope.scoreboard import Match, Scoreboard, comparison_page, make_tables, read_tables, scoreboard_page
from mechscope.scoreboard.site_pages import COMPARISON
from mechscope.scoreboard.unknown_circuit_page import read_comparison, save_comparison

DOCS = Path(__file__).parents[2] / "docs"


def test_the_docs_are_made_of_the_shipped_tables() -> None:
    page = (DOCS / "scoreboard.md").read_text(encoding="utf-8")
    assert page == scoreboard_page(read_tables(), "scoreboard.svg")


@pytest.mark.skipif(
    not COMPARISON.is_file(), reason="the tables are shipped when `make real-model` has been run"
)
def test_the_docs_of_the_trained_model_are_made_of_the_shipped_tables() -> None:
    page = (DOCS / "scoreboard-real-model.md").read_text(encoding="utf-8")
    assert page == comparison_page(read_comparison(COMPARISON), "scoreboard-real-model.svg")


def test_the_page_of_a_comparison_is_made_of_its_tables(tmp_path: Path) -> None:
    table = {"titles": ["method", "ρ"], "rows": [["EAP", "0.64"]]}
    tables = {
        "model": "a-model", "heads": 12, "examples": 8, "large": 0.02, "important": 3, "reference": "patching",
        "strongest": "a1.h0 (+0.5)", "table": table, "matched": table, "not_run": table, "minutes": 1.25,
    }  # fmt: skip
    path = save_comparison(tables, tmp_path / "comparison.json")
    page = comparison_page(read_comparison(path), "plot.svg")
    assert page == comparison_page(tables, "plot.svg")
    assert page.count("| EAP | 0.64 |") == 3 and "12 heads" in page and "1.2 CPU minutes" in page
    assert "](plot.svg)" in page and "](plot.svg)" not in comparison_page(tables)


def test_tables_are_read_as_they_were_written(tmp_path: Path) -> None:
    match = Match("ioi", "plain", 0, "eap", edges=0.75, nodes=1.0, agreement=float("nan"), seconds=1.5)
    board = Scoreboard((match, Match("ioi", "plain", 0, "direct", None, 0.5, None, 2.0)), examples=8)
    tables = make_tables(board)
    assert tables.summaries["edges"] == {"plain": {"eap": (0.75, 0.75, 0.75)}}
    assert tables.by_program == {"edges": {"eap": [0.75]}, "nodes": {"eap": [1.0], "direct": [0.5]}}
    again = read_tables(tables.save(tmp_path / "tables.json"))
    assert scoreboard_page(again) == scoreboard_page(board)
    assert "| EAP | 0.750 (0.750–0.750) | – | 1.5 |" in scoreboard_page(again)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tables.json"
    path.write_text(json.dumps({"format": "something else"}), encoding="utf-8")
    with pytest.raises(ValueError, match="does not say format"):
        read_tables(path)
    with pytest.raises(ValueError, match="does not say format"):
        read_comparison(path)
    path.write_text(json.dumps({"format": "mechscope scoreboard tables 1"}), encoding="utf-8")
    with pytest.raises(ValueError, match="lacks a table"):
        read_tables(path)
