"""A matrix as colours: layer by head, layer by position, head by head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from mechscope.arguments import checked_arguments
from mechscope.results.arrays import as_floats
from mechscope.viz.escaping import escape, escape_in_template
from mechscope.viz.template import new_figure


@checked_arguments
def heatmap(
    values: Any,
    *,
    title: str,
    x_title: str,
    y_title: str,
    unit: str,
    x: Sequence[object] | None = None,
    y: Sequence[object] | None = None,
    centred: bool | None = None,
    write_numbers: bool | None = None,
    square: bool = False,
    top_row_first: bool = True,
    details: Sequence[Sequence[str]] | None = None,
) -> go.Figure:
    """Heat map of `values` [row, column].

    Args:
        unit: what the colours measure, written on the colour bar.
        x: labels of the columns; counted from 0 if omitted.
        y: labels of the rows; counted from 0 if omitted.
        centred: centre a diverging colour scale at zero; None does so if signs are mixed.
        write_numbers: print each number in its cell; None does so for up to 64 cells.
        square: cells as high as they are wide.
        top_row_first: the first row is on top; False puts it at the bottom, as for layers (see `mechscope.viz`).
        details: one more line for the hover label of each cell [row][column].

    Raises:
        ValueError: if `values` is not a matrix or the labels do not fit it.
    """
    matrix = as_floats(values)
    if matrix.ndim != 2 or not matrix.size:
        raise ValueError(f"a heat map needs a matrix, not shape {matrix.shape}.")
    columns = [escape(label) for label in (x if x is not None else range(matrix.shape[1]))]
    rows = [escape(label) for label in (y if y is not None else range(matrix.shape[0]))]
    if (len(rows), len(columns)) != matrix.shape:
        raise ValueError(f"{len(rows)} row and {len(columns)} column labels do not fit shape {matrix.shape}.")
    figure = new_figure(title, x_title, y_title, height=max(260, min(560, 150 + 34 * len(rows))))
    # Cells that are only counted need no labels of their own, which would weigh more than the values.
    counted = details is None and all(
        names == [str(i) for i in range(len(names))] for names in (rows, columns)
    )
    labels = None if counted else _cell_labels(rows, columns, details)
    figure.add_heatmap(
        z=matrix,
        coloraxis="coloraxis",
        xgap=1,
        ygap=1,
        customdata=labels,
        hovertemplate=("%{y} · %{x}" if counted else "%{customdata}")
        + f"<br>{escape_in_template(unit)}: %{{z:.4g}}<extra></extra>",
        texttemplate="%{z:.2f}" if (matrix.size <= 64 if write_numbers is None else write_numbers) else None,
    )
    figure.update_layout(coloraxis=colour_axis(matrix, unit, centred))
    # Use numeric ticks with text labels: a categorical axis would merge rows that share a label.
    figure.update_xaxes(
        tickvals=_ticks(len(columns)), ticktext=[columns[i] for i in _ticks(len(columns))], showgrid=False
    )
    figure.update_yaxes(
        tickvals=_ticks(len(rows)),
        ticktext=[rows[i] for i in _ticks(len(rows))],
        showgrid=False,
        autorange="reversed" if top_row_first else True,
        zeroline=False,
    )
    figure.update_xaxes(zeroline=False)
    if square:
        figure.update_yaxes(scaleanchor="x", constrain="domain")
        figure.update_xaxes(constrain="domain")
        # A wider figure would only add empty space between the squares and the colour bar.
        layout: Any = figure.layout
        figure.update_layout(meta={"max_width": layout.height + 140})
    return figure


def _cell_labels(
    rows: Sequence[str], columns: Sequence[str], details: Sequence[Sequence[str]] | None
) -> np.ndarray:
    labels = [[f"{row} · {column}" for column in columns] for row in rows]
    if details is not None:
        pairs = zip(labels, details, strict=True)
        labels = [[f"{label}<br>{escape(more)}" for label, more in zip(*pair, strict=True)] for pair in pairs]
    return np.array(labels)


def colour_axis(values: np.ndarray, unit: str, centred: bool | None) -> dict[str, Any]:
    """A colour axis with zero as the neutral colour if signs are mixed (or if `centred` is set)."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if centred is None:
        centred = low < 0 < high
    axis: dict[str, Any] = {"colorbar": {"title": {"text": escape(unit)}}, "autocolorscale": True}
    if centred:
        reach = max(abs(low), abs(high)) or 1.0
        return {**axis, "cmin": -reach, "cmax": reach}
    return {**axis, "cmin": min(low, 0.0), "cmax": high if high > low else low + 1.0}


def _ticks(count: int, most: int = 40) -> list[int]:
    stride = -(-count // most)
    return list(range(0, count, stride))
