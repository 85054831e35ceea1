"""A heat map with a token in every cell, for example predictions and their probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from mechscope.arguments import checked_arguments, visible_token
from mechscope.results.arrays import as_floats
from mechscope.viz.escaping import escape
from mechscope.viz.heatmap import heatmap

PLOT_WIDTH = 700
"""The usual width of the cells together, in pixels."""
CHARACTER = 0.62
"""The width of a character in units of its size."""


@checked_arguments
def token_grid(
    values: Any,
    texts: Sequence[Sequence[str]],
    *,
    title: str,
    x_title: str,
    y_title: str,
    unit: str,
    x: Sequence[object] | None = None,
    y: Sequence[object] | None = None,
    longest: int = 9,
    top_row_first: bool = False,
) -> go.Figure:
    """Heat map of `values` [row, column] with `texts` in its cells.

    Args:
        top_row_first: True puts the first row on top; by default layers go upwards (see `mechscope.viz`).
        longest: how many characters of a text to show at most; fewer in narrow columns. The full text is in the hover
            label.

    Raises:
        ValueError: if the shapes of texts, labels and values do not match.
    """
    matrix = as_floats(values)
    shape = (len(texts), len(texts[0]) if texts else 0)
    if matrix.shape != shape or any(len(row) != shape[1] for row in texts):
        raise ValueError(f"texts of shape {shape} do not fit values of shape {matrix.shape}.")
    whole = [[visible_token(text) for text in row] for row in texts]
    figure = heatmap(
        matrix,
        title=title,
        x_title=x_title,
        y_title=y_title,
        unit=unit,
        x=x,
        y=y,
        write_numbers=False,
        top_row_first=top_row_first,
        details=whole,
    )
    grid: Any = figure.data[0]
    size, longest = _text_that_fits(shape[1], longest)
    grid.text = [
        [escape(text if len(text) <= longest else text[: longest - 1] + "…") for text in row] for row in whole
    ]
    grid.texttemplate = "%{text}"
    # Left to itself, Plotly makes every text as small as the longest one needs.
    grid.textfont = {"size": size}
    # One line of text per cell, and a label for every column: readers look for specific words.
    columns = [escape(label) for label in (x if x is not None else range(shape[1]))]
    figure.update_xaxes(tickvals=list(range(shape[1])), ticktext=columns, tickangle=-50)
    figure.update_layout(height=max(300, min(900, 190 + 30 * shape[0])))
    return figure


def _text_that_fits(columns: int, longest: int) -> tuple[float, int]:
    """The size of the text in points, 8 to 12, and how many characters fit into a column."""
    width = PLOT_WIDTH / max(columns, 1)
    size = min(12.0, max(8.0, width / (longest * CHARACTER)))
    return size, min(longest, max(2, int(width / (size * CHARACTER))))
