"""A circuit drawn as a graph: the input at the bottom, layers upwards, logits on top.

A head is a box with three inputs at its lower side, from left to right q, k and v; each edge ends at the input
that it feeds. Colour shows whether an edge helps or hurts, width how much.

Under grouped-query attention the keys and values of a key/value head belong to several query heads. They get a box of
their own below the heads, with the query heads that read them in its label and thin lines to those in the circuit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from mechscope.arguments import checked_arguments
from mechscope.results.arrays import as_floats
from mechscope.viz.circuit_layout import (
    HALF_HEIGHT,
    HALF_WIDTH,
    POINTS,
    Layout,
    curve_between,
    lay_out_circuit,
)
from mechscope.viz.escaping import escape
from mechscope.viz.palette import LIGHT_PALETTE
from mechscope.viz.template import LIGHT, house_template

DASH = {"q": "dash", "k": "dot", "v": "solid", "": "solid"}
HELPS, HURTS = LIGHT_PALETTE.series[1], LIGHT_PALETTE.series[0]
BOXES = {"head": "#4d5a6b", "mlp": "#2b8a6e", "shared": "#7a5c86", "end": "#7b8794"}
"""Solid fills with white text, which work in both themes."""
WIDTHS = (1.0, 1.8, 3.0, 4.6)


@checked_arguments
def circuit_graph(
    edges: Sequence[str],
    scores: Sequence[float] | None = None,
    *,
    title: str,
    unit: str = "",
    n_heads: int = 1,
    n_kv_heads: int = 1,
) -> go.Figure:
    """Draw a circuit; readable with about 5 to 200 edges.

    Args:
        edges: names `src->dst`, such as `a0.h1->a1.h3<k>` or `m0->logits`.
        scores: one number per edge, for colour and width; without scores, all edges look the same.
        title: what the figure shows.
        unit: unit of the scores.
        n_heads: query heads per layer of the model, if it has grouped-query attention.
        n_kv_heads: its key/value heads per layer; `a1.h0<k>` then are the keys of key/value head 0.

    Raises:
        ValueError: for an invalid edge name, or if the numbers of scores and edges differ.
    """
    if not title.strip():
        raise ValueError("a figure needs a title; say which circuit is shown.")
    if scores is not None and len(scores) != len(edges):
        raise ValueError(f"there are {len(edges)} edges but {len(scores)} scores; give one score per edge.")
    layout = lay_out_circuit(edges, n_heads, n_kv_heads)
    figure = go.Figure()
    numbers = None if scores is None else as_floats(scores)
    _draw_sharing(figure, layout)
    _draw_edges(figure, edges, layout, numbers, unit)
    _draw_nodes(figure, layout)
    figure.update_layout(
        template=house_template(LIGHT),
        title_text=escape(title),
        height=max(320, 130 + 78 * layout.n_rows),
        margin={"l": 16, "r": 16, "t": 92, "b": 16},
        hovermode="closest",
        legend={"y": 1.0, "itemsizing": "trace"},
    )
    figure.update_xaxes(visible=False, range=[-layout.half, layout.half])
    figure.update_yaxes(visible=False, range=[-0.45, layout.n_rows - 0.55])
    return figure


def _draw_sharing(figure: go.Figure, layout: Layout) -> None:
    """Thin lines from key/value heads to the query heads in the circuit that read them."""
    places = layout.places
    lines = [curve_between(places[box], places[reader], "", 0.0) for box, reader in layout.sharing()]
    if not lines:
        return
    gap = np.full((1, 2), np.nan)
    line = np.concatenate([part for curve in lines for part in (curve, gap)])
    figure.add_scatter(
        x=line[:, 0],
        y=line[:, 1],
        mode="lines",
        name="keys and values read by",
        line={"color": LIGHT_PALETTE.reference, "width": 1.0, "dash": "solid"},
        hoverinfo="skip",
        showlegend=True,
    )


def _draw_edges(
    figure: go.Figure,
    names: Sequence[str],
    layout: Layout,
    scores: np.ndarray | None,
    unit: str,
) -> None:
    if not names:
        return
    known = None if scores is None else np.nan_to_num(np.abs(scores))
    most = 1.0 if known is None else max(float(known.max()), 1e-30)
    groups: dict[tuple[str, str, float], list[np.ndarray]] = {}
    middles: list[np.ndarray] = []
    for index, curve in enumerate(layout.curves()):
        door = layout.ends[index][2]
        middles.append(curve[int(POINTS * 0.55)])
        width = line_width(0.3 if known is None else float(known[index]) / most)
        hurts = scores is not None and scores[index] < 0
        groups.setdefault((HURTS if hurts else HELPS, door, width), []).append(curve)
    gap = np.full((1, 2), np.nan)
    for (colour, door, width), curves in sorted(groups.items(), key=lambda item: item[0][2]):
        line = np.concatenate([part for curve in curves for part in (curve, gap)])
        figure.add_scatter(
            x=line[:, 0],
            y=line[:, 1],
            mode="lines",
            line={"color": colour, "width": width, "dash": DASH[door]},
            opacity=0.45 + 0.12 * WIDTHS.index(width),
            hoverinfo="skip",
            showlegend=False,
        )
    words = [
        escape(name) if scores is None else f"{escape(name)}<br>{scores[index]:.3g} {escape(unit)}".rstrip()
        for index, name in enumerate(names)
    ]
    at = np.array(middles)
    figure.add_scatter(
        x=at[:, 0],
        y=at[:, 1],
        mode="markers",
        marker={"size": 12, "opacity": 0},
        customdata=words,
        hovertemplate="%{customdata}<extra></extra>",
        showlegend=False,
    )
    _legend(figure, {door for _, _, door in layout.ends}, scores)


def _legend(figure: go.Figure, doors: set[str], scores: np.ndarray | None) -> None:
    neutral = LIGHT_PALETTE.reference
    if scores is not None:
        if bool((scores >= 0).any()):
            _legend_line(figure, "helps (score > 0)", HELPS, "solid")
        if bool((scores < 0).any()):
            _legend_line(figure, "hurts (score < 0)", HURTS, "solid")
    for door in "qkv":
        if door in doors:
            _legend_line(figure, f"into {door}", neutral, DASH[door])


def _legend_line(figure: go.Figure, name: str, colour: str, dash: str) -> None:
    figure.add_scatter(
        x=[None],
        y=[None],
        mode="lines",
        name=escape(name),
        line={"color": colour, "dash": dash, "width": 2.5},
    )


def line_width(share: float) -> float:
    """The width of an edge's line, by the size of its score as a share of the largest."""
    return WIDTHS[min(int(np.sqrt(share) * len(WIDTHS)), len(WIDTHS) - 1)]


def _draw_nodes(figure: go.Figure, layout: Layout) -> None:
    for name, node in layout.nodes.items():
        x, y = layout.places[name]
        figure.add_shape(
            type="rect",
            x0=x - HALF_WIDTH,
            x1=x + HALF_WIDTH,
            y0=y - HALF_HEIGHT,
            y1=y + HALF_HEIGHT,
            fillcolor=BOXES[node.kind],
            line={"width": 0, "dash": "solid"},
            layer="above",
        )
        # Annotations are drawn over shapes; a text trace would be hidden under them.
        figure.add_annotation(
            x=x,
            y=y,
            text=node.label or escape(name),
            font={"color": "#ffffff", "size": text_size(layout.width) - (2 if node.label else 0)},
        )


def text_size(width: int) -> int:
    """The size of text in boxes, for the number of boxes in the widest row."""
    return 13 if width <= 9 else 10 if width <= 14 else 8
