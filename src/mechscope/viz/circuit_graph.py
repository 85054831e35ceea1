"""A circuit drawn as a graph: the input at the bottom, layers upwards, logits on top.

A head is a box with three inputs at its lower side, from left to right q, k and v; each edge ends at the input
that it feeds. Colour shows whether an edge helps or hurts, width how much.

Under grouped-query attention the keys and values of a key/value head belong to several query heads. They get a box of
their own below the heads, with the query heads that read them in its label and thin lines to those in the circuit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from mechscope.arguments import checked_arguments
from mechscope.model.grouped_heads import query_heads_in_words, query_heads_of
from mechscope.results.arrays import as_floats
from mechscope.viz.escaping import escape
from mechscope.viz.palette import LIGHT_PALETTE
from mechscope.viz.template import LIGHT, house_template

_NODE = re.compile(r"input|logits|a(\d+)\.h(\d+)(?:<([qkv])>)?|m(\d+)")
DOORS = {"q": -0.27, "k": 0.0, "v": 0.27}
"""The position of each of a head's inputs, as a fraction of the box's width."""
DASH = {"q": "dash", "k": "dot", "v": "solid", "": "solid"}
HELPS, HURTS = LIGHT_PALETTE.series[1], LIGHT_PALETTE.series[0]
BOXES = {"head": "#4d5a6b", "mlp": "#2b8a6e", "shared": "#7a5c86", "end": "#7b8794"}
"""Solid fills with white text, which work in both themes."""
HALF_WIDTH, HALF_HEIGHT = 0.4, 0.19
WIDTHS = (1.0, 1.8, 3.0, 4.6)
_POINTS = 32
BOWS = (0.0, 0.5, -0.5, 0.8, -0.8, 1.1, -1.1, 1.5, -1.5, 2.0, -2.0, 2.6, -2.6, 3.4, -3.4)
"""How far an edge that skips rows may bend to the side."""


@dataclass(frozen=True)
class _Node:
    name: str
    kind: str
    row: tuple[int, int]
    """Its row, counted from the bottom: by layer, shared keys and values before heads, heads before the MLP."""
    head: int = 0
    readers: tuple[str, ...] = ()
    """Names of the query heads that read a key/value head."""
    label: str = ""
    """Text in the box, if not its name."""


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
    ends = [_ends(edge, n_heads, n_kv_heads) for edge in edges]
    nodes = {node.name: node for source, destination, _ in ends for node in (source, destination)}
    nodes |= {name: _parse(name)[0] for name in ("input", "logits")}
    places, width, n_rows = _lay_out(list(nodes.values()))
    half = max(width / 2, 3.2) + 0.1
    figure = go.Figure()
    numbers = None if scores is None else as_floats(scores)
    _draw_sharing(figure, nodes, places)
    _draw_edges(figure, edges, ends, numbers, places, unit, half)
    _draw_nodes(figure, nodes, places, width)
    figure.update_layout(
        template=house_template(LIGHT),
        title_text=escape(title),
        height=max(320, 130 + 78 * n_rows),
        margin={"l": 16, "r": 16, "t": 92, "b": 16},
        hovermode="closest",
        legend={"y": 1.0, "itemsizing": "trace"},
    )
    figure.update_xaxes(visible=False, range=[-half, half])
    figure.update_yaxes(visible=False, range=[-0.45, n_rows - 0.55])
    return figure


def _parse(name: str, n_heads: int = 1, n_kv_heads: int = 1) -> tuple[_Node, str]:
    """A node and the name of one of its inputs."""
    match = _NODE.fullmatch(name)
    if match is None:
        raise ValueError(
            f"{name!r} is not a node of a circuit; nodes are input, a3.h1 (as a reader a3.h1<q>, <k> or <v>), m2, "
            "logits."
        )
    if name in ("input", "logits"):
        return _Node(name, "end", (-1, 0) if name == "input" else (10**6, 0)), ""
    if match[4] is not None:
        return _Node(name, "mlp", (int(match[4]), 1)), ""
    layer, head = int(match[1]), int(match[2])
    if match[3] in ("k", "v") and n_heads != n_kv_heads:
        readers = tuple(f"a{layer}.h{reader}" for reader in query_heads_of(head, n_heads, n_kv_heads))
        label = f"a{layer} k/v {head}<br>{query_heads_in_words(head, n_heads, n_kv_heads)}"
        return _Node(f"a{layer} k/v {head}", "shared", (layer, -1), head, readers, label), match[3]
    return _Node(f"a{layer}.h{head}", "head", (layer, 0), head), match[3] or ""


def _ends(edge: str, n_heads: int, n_kv_heads: int) -> tuple[_Node, _Node, str]:
    parts = edge.split("->")
    if len(parts) != 2:
        raise ValueError(f"{edge!r} is not an edge; an edge is written src->dst.")
    source, _ = _parse(parts[0])
    destination, door = _parse(parts[1], n_heads, n_kv_heads)
    return source, destination, door


def _lay_out(nodes: list[_Node]) -> tuple[dict[str, tuple[float, float]], int, int]:
    """The coordinates of each node, the size of the widest row, and the number of rows."""
    levels = sorted({node.row for node in nodes})
    rows = [sorted((n for n in nodes if n.row == level), key=lambda n: n.head) for level in levels]
    width = max(len(row) for row in rows)
    places: dict[str, tuple[float, float]] = {}
    for y, row in enumerate(rows):
        # Spread rows with several nodes over the full width, so that edges have room.
        spread = 1.0 if len(row) < 2 else min(1.6, (width - 1) / (len(row) - 1))
        # A single node in the centre would block every edge that passes; shift alternate rows sideways.
        aside = 0.0 if rows[y][0].kind == "end" or len(row) > 1 else (0.42 if y % 2 else -0.42)
        for index, node in enumerate(row):
            places[node.name] = ((index - (len(row) - 1) / 2) * spread + aside, float(y))
    return places, width, len(rows)


def _draw_sharing(figure: go.Figure, nodes: dict[str, _Node], places: dict[str, tuple[float, float]]) -> None:
    """Thin lines from key/value heads to the query heads in the circuit that read them."""
    lines = [
        _curve(places[node.name], places[reader], "", 0.0)
        for node in nodes.values()
        for reader in node.readers
        if reader in places
    ]
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
    ends: list[tuple[_Node, _Node, str]],
    scores: np.ndarray | None,
    places: dict[str, tuple[float, float]],
    unit: str,
    half: float,
) -> None:
    if not names:
        return
    boxes = np.array(list(places.values()))
    known = None if scores is None else np.nan_to_num(np.abs(scores))
    most = 1.0 if known is None else max(float(known.max()), 1e-30)
    groups: dict[tuple[str, str, float], list[np.ndarray]] = {}
    middles: list[np.ndarray] = []
    for index, (source, destination, door) in enumerate(ends):
        curve = _route(places[source.name], places[destination.name], door, boxes, half)
        middles.append(curve[int(_POINTS * 0.55)])
        share = 0.3 if known is None else float(known[index]) / most
        width = WIDTHS[min(int(np.sqrt(share) * len(WIDTHS)), len(WIDTHS) - 1)]
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
    _legend(figure, {door for _, _, door in ends}, scores)


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


def _route(
    start: tuple[float, float], end: tuple[float, float], door: str, boxes: np.ndarray, half: float
) -> np.ndarray:
    """Of several curves, the straightest of those that pass behind the fewest boxes.

    A line that passes behind a box looks as if it started there.
    """
    between = boxes[(boxes[:, 1] > start[1]) & (boxes[:, 1] < end[1])]
    best, fewest = _curve(start, end, door, 0.0), np.inf
    for bow in BOWS if len(between) else (0.0,):
        curve = _curve(start, end, door, bow)
        near = np.abs(curve[:, None] - between[None]) < (HALF_WIDTH + 0.06, HALF_HEIGHT)
        hidden = int(near.all(-1).any(0).sum()) + 5 * int((np.abs(curve[:, 0]) > half).any())
        if hidden < fewest:
            best, fewest = curve, hidden
    return best


def _curve(start: tuple[float, float], end: tuple[float, float], door: str, bow: float) -> np.ndarray:
    """A Bézier curve [point, x and y] that leaves a box at the top and enters the next from below."""
    x0, y0 = start[0], start[1] + HALF_HEIGHT
    x1, y1 = end[0] + DOORS.get(door, 0.0) * 2 * HALF_WIDTH, end[1] - HALF_HEIGHT
    rise = y1 - y0
    points = np.array([[x0, y0], [x0 + bow, y0 + rise * 0.45], [x1 + bow, y1 - rise * 0.45], [x1, y1]])
    t = np.linspace(0, 1, _POINTS)[:, None]
    weights = np.hstack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
    return weights @ points


def _draw_nodes(
    figure: go.Figure, nodes: dict[str, _Node], places: dict[str, tuple[float, float]], width: int
) -> None:
    for name, node in nodes.items():
        x, y = places[name]
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
            font={"color": "#ffffff", "size": _text_size(width) - (2 if node.label else 0)},
        )


def _text_size(width: int) -> int:
    """The size of text in boxes, for the number of boxes in the widest row."""
    return 13 if width <= 9 else 10 if width <= 14 else 8
