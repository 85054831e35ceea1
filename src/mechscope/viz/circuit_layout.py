"""Where the parts of a circuit are drawn, for the Plotly figure and for pictures without scripts.

The input is at the bottom, layers upwards, the logits on top. A head is a box with three inputs at its lower side,
from left to right q, k and v; each edge ends at the input that it feeds. One unit is the distance between two rows.
`components/circuit_layout.js` is the same in the browser, and a test compares the two.

Under grouped-query attention the keys and values of a key/value head belong to several query heads. They get a box of
their own below the heads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mechscope.model.grouped_heads import query_heads_in_words, query_heads_of

_NODE = re.compile(r"input|logits|a(\d+)\.h(\d+)(?:<([qkv])>)?|m(\d+)")
DOORS = {"q": -0.27, "k": 0.0, "v": 0.27}
"""The position of each of a head's inputs, as a fraction of the box's width."""
HALF_WIDTH, HALF_HEIGHT = 0.4, 0.19
POINTS = 32
"""Points of a curve."""
BOWS = (0.0, 0.5, -0.5, 0.8, -0.8, 1.1, -1.1, 1.5, -1.5, 2.0, -2.0, 2.6, -2.6, 3.4, -3.4)
"""How far an edge that skips rows may bend to the side."""


@dataclass(frozen=True)
class Node:
    """A part of a circuit."""

    name: str
    kind: str
    row: tuple[int, int]
    """Its row, counted from the bottom: by layer, shared keys and values before heads, heads before the MLP."""
    head: int = 0
    readers: tuple[str, ...] = ()
    """Names of the query heads that read a key/value head."""
    label: str = ""
    """Text in the box, if not its name."""


@dataclass(frozen=True)
class Layout:
    """Where everything is."""

    nodes: dict[str, Node]
    ends: tuple[tuple[Node, Node, str], ...]
    """For each edge, its source, its destination, and the input that it feeds: "q", "k", "v" or ""."""
    places: dict[str, tuple[float, float]]
    """The centre of each node."""
    width: int
    """How many boxes the widest row has."""
    n_rows: int

    @property
    def half(self) -> float:
        """Half of the drawing's width."""
        return max(self.width / 2, 3.2) + 0.1

    def curves(self) -> list[np.ndarray]:
        """A curve [point, x and y] for each edge."""
        boxes = np.array(list(self.places.values()))
        return [
            route_edge(self.places[source.name], self.places[destination.name], door, boxes, self.half)
            for source, destination, door in self.ends
        ]

    def sharing(self) -> list[tuple[str, str]]:
        """Boxes of shared keys and values, each with a query head in the drawing that reads them."""
        return [
            (node.name, reader)
            for node in self.nodes.values()
            for reader in node.readers
            if reader in self.places
        ]


def lay_out_circuit(
    edges: Sequence[str], n_heads: int = 1, n_kv_heads: int = 1, others: Iterable[str] = ()
) -> Layout:
    """Lay out some edges.

    Args:
        edges: names `src->dst`.
        n_heads: query heads per layer, if keys and values are shared.
        n_kv_heads: key/value heads per layer.
        others: names of nodes that are drawn even if no edge reaches them.

    Raises:
        ValueError: for an invalid name of an edge or node.
    """
    ends = tuple(ends_of(edge, n_heads, n_kv_heads) for edge in edges)
    nodes = {node.name: node for source, destination, _ in ends for node in (source, destination)}
    nodes |= {name: parse_node(name)[0] for name in ("input", "logits", *others)}
    places, width, n_rows = lay_out(list(nodes.values()))
    return Layout(nodes, ends, places, width, n_rows)


def parse_node(name: str, n_heads: int = 1, n_kv_heads: int = 1) -> tuple[Node, str]:
    """A node and the name of one of its inputs."""
    match = _NODE.fullmatch(name)
    if match is None:
        raise ValueError(
            f"{name!r} is not a node of a circuit; nodes are input, a3.h1 (as a reader a3.h1<q>, <k> or <v>), m2, "
            "logits."
        )
    if name in ("input", "logits"):
        return Node(name, "end", (-1, 0) if name == "input" else (10**6, 0)), ""
    if match[4] is not None:
        return Node(name, "mlp", (int(match[4]), 1)), ""
    layer, head = int(match[1]), int(match[2])
    if match[3] in ("k", "v") and n_heads != n_kv_heads:
        readers = tuple(f"a{layer}.h{reader}" for reader in query_heads_of(head, n_heads, n_kv_heads))
        label = f"a{layer} k/v {head}<br>{query_heads_in_words(head, n_heads, n_kv_heads)}"
        return Node(f"a{layer} k/v {head}", "shared", (layer, -1), head, readers, label), match[3]
    return Node(f"a{layer}.h{head}", "head", (layer, 0), head), match[3] or ""


def ends_of(edge: str, n_heads: int, n_kv_heads: int) -> tuple[Node, Node, str]:
    """The source and the destination of an edge, and the input that it feeds."""
    parts = edge.split("->")
    if len(parts) != 2:
        raise ValueError(f"{edge!r} is not an edge; an edge is written src->dst.")
    source, _ = parse_node(parts[0])
    destination, door = parse_node(parts[1], n_heads, n_kv_heads)
    return source, destination, door


def lay_out(nodes: list[Node]) -> tuple[dict[str, tuple[float, float]], int, int]:
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


def route_edge(
    start: tuple[float, float], end: tuple[float, float], door: str, boxes: np.ndarray, half: float
) -> np.ndarray:
    """Of several curves, the straightest of those that pass behind the fewest boxes.

    A line that passes behind a box looks as if it started there.
    """
    between = boxes[(boxes[:, 1] > start[1]) & (boxes[:, 1] < end[1])]
    best, fewest = curve_between(start, end, door, 0.0), np.inf
    for bow in BOWS if len(between) else (0.0,):
        curve = curve_between(start, end, door, bow)
        near = np.abs(curve[:, None] - between[None]) < (HALF_WIDTH + 0.06, HALF_HEIGHT)
        hidden = int(near.all(-1).any(0).sum()) + 5 * int((np.abs(curve[:, 0]) > half).any())
        if hidden < fewest:
            best, fewest = curve, hidden
    return best


def curve_between(start: tuple[float, float], end: tuple[float, float], door: str, bow: float) -> np.ndarray:
    """A Bézier curve [point, x and y] that leaves a box at the top and enters the next from below."""
    x0, y0 = start[0], start[1] + HALF_HEIGHT
    x1, y1 = end[0] + DOORS.get(door, 0.0) * 2 * HALF_WIDTH, end[1] - HALF_HEIGHT
    rise = y1 - y0
    points = np.array([[x0, y0], [x0 + bow, y0 + rise * 0.45], [x1 + bow, y1 - rise * 0.45], [x1, y1]])
    t = np.linspace(0, 1, POINTS)[:, None]
    weights = np.hstack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
    return weights @ points
