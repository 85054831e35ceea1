"""Tables in Markdown and for terminals."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from mechscope.pages.tables import markdown_table, text_table


def test_cells_reach_the_reader_as_they_are() -> None:
    cells = [["a|b", "`x | y`"], ["two\nlines", " "], ["007", "1e3"], ["-", "---"]]
    table = markdown_table(["first", "2nd | column"], cells)
    tokens = MarkdownIt().enable("table").parse(table)
    texts = [token.content for token in tokens if token.type == "inline"]
    assert texts[:2] == ["first", "2nd | column"]
    assert texts[2:] == ["a|b", "`x | y`", "two lines", "", "007", "1e3", "-", "---"]


def test_columns_are_aligned() -> None:
    table = markdown_table(["a", "b", "c"], [[1, 2.0, None]], align="lrc")
    assert table.splitlines() == ["| a | b | c |", "|---|--:|:-:|", "| 1 | 2.0 | None |"]


def test_a_table_may_have_no_rows() -> None:
    assert markdown_table(["a", "b"], []) == "| a | b |\n|---|---|"
    assert markdown_table(["", "b"], [["x", ""]]) == "| | b |\n|---|---|\n| x | |"
    assert text_table(["a", "b"], []) == "a  b"


def test_a_row_of_the_wrong_length_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"row 1 has 1 entries, but the table has 2 columns"):
        markdown_table(["a", "b"], [[1, 2], [3]])
    with pytest.raises(ValueError, match=r"align has 3 entries, but the table has 2 columns"):
        markdown_table(["a", "b"], [], align="lll")


def test_text_is_aligned_and_numbers_stay_as_written() -> None:
    table = text_table(["method", "AUROC"], [["EAP", "0.990"], ["attribution", ""], ["m", "1"]])
    assert table.splitlines() == [
        "method       AUROC",
        "EAP          0.990",
        "attribution",
        "m                1",
    ]
