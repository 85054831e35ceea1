"""Tables in Markdown and as aligned plain text."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import DataRow, TableFormat, tabulate

_RULES = {"l": "---", "r": "--:", "c": ":-:"}


def markdown_table(headers: Sequence[str], rows: Sequence[Sequence[object]], align: str = "") -> str:
    """A Markdown table. Vertical bars and line breaks inside cells are escaped.

    >>> print(markdown_table(["head", "score"], [["a5.h1", 0.93], ["|x|", 0.1]], align="lr"))
    | head | score |
    |---|--:|
    | a5.h1 | 0.93 |
    | \\|x\\| | 0.1 |

    Args:
        headers: the title of each column.
        rows: the cells, row by row; each is converted by `str`.
        align: "l", "r" or "c" for each column; by default all are left-aligned.

    Raises:
        ValueError: if a row, or `align`, does not have one entry per column.
    """
    align = align or "l" * len(headers)
    for name, entries in (("align", align), *((f"row {index}", row) for index, row in enumerate(rows))):
        if len(entries) != len(headers):
            raise ValueError(f"{name} has {len(entries)} entries, but the table has {len(headers)} columns.")
    rule = f"|{'|'.join(_RULES[letter] for letter in align)}|"
    # Cells are not padded: a page with long cells would have lines of thousands of spaces.
    table_format = TableFormat(
        lineabove=None,
        linebelowheader=lambda widths, alignments: rule,  # pyright: ignore[reportArgumentType]
        linebetweenrows=None,
        linebelow=None,
        headerrow=DataRow("|", "|", "|"),
        datarow=DataRow("|", "|", "|"),
        padding=0,
        with_header_hide=None,
    )
    return tabulate(
        [[_in_a_cell(cell) for cell in row] for row in rows],
        headers=[_in_a_cell(header) for header in headers],
        tablefmt=table_format,
        disable_numparse=True,
        stralign=None,
    )


def text_table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table for a terminal: the first column is left-aligned, the others right-aligned.

    >>> print(text_table(["head", "score"], [["a5.h1", "0.93"], ["m3", "0.1"]]))
    head   score
    a5.h1   0.93
    m3       0.1

    Args:
        headers: the title of each column.
        rows: the cells, row by row; each is converted by `str`.
    """
    # The titles are a row of their own: tabulate would make columns with titles wider than they need to be.
    table = tabulate(
        [[str(cell) for cell in row] for row in (headers, *rows)],
        tablefmt="plain",
        disable_numparse=True,
        colalign=("left", *["right"] * (len(headers) - 1)),
    )
    return "\n".join(line.rstrip() for line in table.splitlines())


def _in_a_cell(value: object) -> str:
    text = str(value).replace("\n", " ").replace("|", "\\|").strip()
    return f" {text} " if text else " "
