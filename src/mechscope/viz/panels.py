"""Several heat maps side by side with shared rows, to compare heads by more than one measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from mechscope.arguments import checked_arguments
from mechscope.results.arrays import as_floats
from mechscope.viz.escaping import escape, escape_in_template, unescape
from mechscope.viz.heatmap import colour_axis
from mechscope.viz.template import LIGHT, house_template

MOST_LABELS = 12


@checked_arguments
def heatmap_panels(
    panels: Mapping[str, Any],
    *,
    title: str,
    x_title: str,
    y_title: str,
    unit: str | Mapping[str, str],
    x: Sequence[object] | None = None,
    y: Sequence[object] | None = None,
    limits: tuple[float, float] | None = None,
    columns: int = 3,
    top_row_first: bool = True,
) -> go.Figure:
    """Heat maps [row, column] of the same shape, each with a title above it.

    Args:
        panels: the name of each map and its values.
        unit: what the colours measure. One unit for all means a shared colour scale; a mapping from panel name to
            unit gives each panel its own scale, so colours cannot be compared between panels.
        limits: the ends of a shared scale; None takes them from the values.
        columns: panels per row.
        top_row_first: the first row of each map is on top; False puts it at the bottom, as for layers.

    Raises:
        ValueError: if there are no panels, or they differ in shape.
    """
    if not panels or not title.strip() or not x_title.strip() or not y_title.strip():
        raise ValueError("panels need at least one map, a title and both axis titles.")
    maps = {name: as_floats(values) for name, values in panels.items()}
    shape = next(iter(maps.values())).shape
    if len(shape) != 2 or any(values.shape != shape for values in maps.values()):
        raise ValueError(
            f"panels must have the same shape, not {[values.shape for values in maps.values()]}."
        )
    if columns < 1:
        raise ValueError(f"columns must be at least 1, not {columns}.")
    columns = min(columns, len(maps))
    rows = -(-len(maps) // columns)
    own = not isinstance(unit, str)
    labels = {"x": [escape(label) for label in x] if x is not None else list(map(str, range(shape[1])))}
    labels["y"] = [escape(label) for label in y] if y is not None else list(map(str, range(shape[0])))
    widest = max(len(unescape(label)) for label in labels["y"])
    figure = make_subplots(
        rows,
        columns,
        subplot_titles=[escape(name) for name in maps],
        horizontal_spacing=0.09 + 0.008 * widest if own else 0.05,
        vertical_spacing=0.32 / rows,
        shared_yaxes=not own,
        x_title=escape(x_title),
        y_title=escape(y_title),
    )
    direction = "reversed" if top_row_first else True
    names = np.array([[f"{row} · {column}" for column in labels["x"]] for row in labels["y"]])
    for index, (name, values) in enumerate(maps.items()):
        row, column = index // columns + 1, index % columns + 1
        words = unit if isinstance(unit, str) else unit[name]
        axis = "coloraxis" if not own or index == 0 else f"coloraxis{index + 1}"
        figure.add_heatmap(
            z=values,
            row=row,
            col=column,
            coloraxis=axis,
            xgap=1,
            ygap=1,
            customdata=names,
            hovertemplate=f"{escape_in_template(name)}<br>%{{customdata}}<br>{escape_in_template(words)}: "
            "%{z:.4g}<extra></extra>",
            texttemplate="%{z:.2f}" if values.size <= 36 else None,
        )
        figure.update_xaxes(_axis(labels["x"]), row=row, col=column)
        # All panels share their rows, and in a tight layout labels between panels would cover cells.
        rows_named = {"showticklabels": own or column == 1, "autorange": direction}
        figure.update_yaxes({**_axis(labels["y"]), **rows_named}, row=row, col=column)
        if own:
            scale = colour_axis(values, words, None)
            where: Any = figure.get_subplot(row, column)
            bar = {"x": where.xaxis.domain[1] + 0.005, "xanchor": "left", "title": {"text": escape(words)}}
            span = where.yaxis.domain
            bar |= {
                "y": sum(span) / 2,
                "len": (span[1] - span[0]) * 1.05,
                "thickness": 8,
                "tickfont": {"size": 10},
            }
            figure.update_layout({axis: {**scale, "colorbar": bar}})
    if not own:
        scale = colour_axis(np.concatenate([values.ravel() for values in maps.values()]), str(unit), None)
        figure.update_layout(
            coloraxis=scale if limits is None else {**scale, "cmin": limits[0], "cmax": limits[1]}
        )
    left = 54 + 8 * widest
    high = max(110, min(300, 40 + 26 * shape[0]))
    figure.update_layout(
        template=house_template(LIGHT),
        title_text=escape(title),
        height=130 + rows * (high + 46),
        margin={"l": left, "b": 58, "t": 84},
        meta={"margin_without_title": {"l": left, "b": 58, "t": 30}},
    )
    # Plotly sets the shared axis titles at a fixed distance, whatever the tick labels need.
    figure.for_each_annotation(
        lambda note: note.update(xshift=-26 - 8 * widest),
        selector={"text": escape(y_title), "textangle": -90},
    )
    return figure


def _axis(labels: Sequence[str]) -> dict[str, Any]:
    stride = -(-len(labels) // MOST_LABELS)
    ticks = list(range(0, len(labels), stride))
    return {
        "tickvals": ticks,
        "ticktext": [labels[tick] for tick in ticks],
        "showgrid": False,
        "zeroline": False,
        "showticklabels": True,
    }
