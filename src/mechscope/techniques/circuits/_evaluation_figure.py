"""Figures of evaluations: curves over size with bands for both nulls, and bars of the loss without each part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from mechscope.results.result import Result
from mechscope.viz.escaping import escape, escape_in_template
from mechscope.viz.palette import LIGHT_PALETTE
from mechscope.viz.ranked_bars import ranked_bars
from mechscope.viz.template import DASHES, LIGHT, house_template

if TYPE_CHECKING:
    from mechscope.techniques.circuits.evaluation import Evaluation
    from mechscope.techniques.circuits.minimality import Minimality

MOST_BARS = 40
NULL_SHARE = 0.95
BOUNDS = ("low", "high")


def evaluation_figure(evaluation: Evaluation) -> go.Figure:
    """Faithfulness of the circuits (left) and of their complements (right), over size."""
    graph = evaluation.circuits[0].graph
    figure = make_subplots(
        1,
        2,
        subplot_titles=["circuit alone: 1 is faithful", "all but the circuit: 0 is complete"],
        horizontal_spacing=0.08,
        shared_yaxes=True,
    )
    panels = (
        (evaluation.faithfulness, evaluation.faithfulness_interval),
        (evaluation.completeness, evaluation.completeness_interval),
    )
    for column, (values, interval) in enumerate(panels, start=1):
        _draw(figure, column, values, interval)
    single = len(evaluation.circuits) == 1
    title = evaluation.faithfulness.title
    if not single:
        area = evaluation.areas.values.sel(series="circuit")
        title += f": CPR {float(area.sel(measure='CPR')):.2f}, CMD {float(area.sel(measure='CMD')):.2f}"
    figure.update_layout(
        template=house_template(LIGHT),
        title_text=escape(title),
        height=470,
        margin={"l": 62, "b": 60, "t": 120},
        legend={"y": 1.1},
    )
    sizes = evaluation.faithfulness.values.coords["size"].values
    axis = {"title_text": f"edges in the circuit (of {graph.n_edges:,})"}
    if not single and sizes[0] > 0 and sizes[-1] > 20 * sizes[0]:
        axis |= {"type": "log", "exponentformat": "none", "dtick": 1}
    if single:
        axis |= {"tickvals": [int(sizes[0])]}
    figure.update_xaxes(axis)
    figure.update_yaxes(title_text="share of the behaviour (1 = whole model)", col=1)
    for level in (0.0, 1.0):
        figure.add_hline(level, line={"color": LIGHT_PALETTE.reference, "width": 1, "dash": "dot"})
    return figure


def _draw(figure: go.Figure, column: int, values: Result, interval: Result) -> None:
    sizes = values.values.coords["size"].values
    for index, series in enumerate(values.values.coords["series"].values):
        colour = LIGHT_PALETTE.series[index]
        ends = interval.values.sel(series=series)
        low, high = ends.sel(bound="low").values, ends.sel(bound="high").values
        middle = values.values.sel(series=series).values
        common = {"legendgroup": str(series), "row": 1, "col": column}
        if len(sizes) == 1:
            figure.add_scatter(
                x=sizes + (index - 1) * 0.15,
                y=middle,
                error_y={"symmetric": False, "array": high - middle, "arrayminus": middle - low},
                mode="markers",
                marker={"size": 10, "color": colour, "symbol": index},
                name=escape(series),
                showlegend=column == 1,
                hovertemplate=f"{escape_in_template(series)}: %{{y:.3f}}<extra></extra>",
                **common,
            )
            continue
        figure.add_scatter(
            x=np.concatenate([sizes, sizes[::-1]]),
            y=np.concatenate([high, low[::-1]]),
            fill="toself",
            fillcolor=f"rgba({_rgb(colour)},0.18)",
            line={"width": 0},
            hoverinfo="skip",
            showlegend=False,
            mode="lines",
            **common,
        )
        figure.add_scatter(
            x=sizes,
            y=middle,
            mode="lines+markers",
            line={"color": colour, "dash": DASHES[index], "width": 2},
            name=escape(series),
            showlegend=column == 1,
            hovertemplate=f"{escape_in_template(series)}, %{{x}} edges: %{{y:.3f}}<extra></extra>",
            **common,
        )


def _rgb(colour: str) -> str:
    return ",".join(str(int(colour[start : start + 2], 16)) for start in (1, 3, 5))


def minimality_figure(result: Minimality) -> go.Figure:
    """Bars of the loss without each part, the largest first (at most 40), with the 95th percentiles of both nulls."""
    lost = result.lost.values
    by = str(lost.dims[0])
    order = np.argsort(-np.abs(lost.values), kind="stable")[:MOST_BARS]
    names = [f"{lost.coords[by].values[index]}  {lost.values[index]:.2f}" for index in order]
    low, high = (result.interval.values.sel(bound=bound).values[order] for bound in BOUNDS)
    figure = ranked_bars(
        names,
        lost.values[order],
        title=result.lost.title,
        x_title="faithfulness lost (share of the behaviour)",
        y_title=by,
    )
    # The interval would cover a number on the bar, so the number is written next to the name.
    error = {"symmetric": False, "array": high - lost.values[order], "arrayminus": lost.values[order] - low}
    figure.update_traces(
        texttemplate=None, textposition="none", error_x=error, name="circuit", showlegend=False
    )
    for index, series in enumerate(result.nulls.values.coords["series"].values, start=1):
        level = float(np.quantile(result.nulls.values.sel(series=series).values, NULL_SHARE))
        if np.isnan(level):
            continue
        figure.add_scatter(
            x=[level, level],
            y=[-0.5, len(order) - 0.5],
            mode="lines",
            line={"color": LIGHT_PALETTE.series[index], "dash": DASHES[index], "width": 2},
            name=f"a random part of {escape(series)} loses less in {NULL_SHARE:.0%} of draws",
            hovertemplate=f"{escape_in_template(series)}: {level:.3f}<extra></extra>",
        )
    figure.update_layout(showlegend=True, height=200 + 24 * len(order), margin={"t": 100})
    figure.update_yaxes(range=[len(order) - 0.5, -0.5], autorange=False)
    return figure
