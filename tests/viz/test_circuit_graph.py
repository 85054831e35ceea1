"""A circuit drawn as a graph: every edge is there, told apart, and inside the picture."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import pytest

from mechscope.viz.circuit_graph import HELPS, HURTS, circuit_graph
from mechscope.viz.escaping import unescape
from mechscope.viz.template import LIGHT, house_template

EDGES = ["input->a0.h1<q>", "input->a0.h1<k>", "a0.h1->m0", "m0->a2.h3<v>", "a2.h3->logits", "input->logits"]
SCORES = [0.1, -0.5, 2.0, 0.3, 1.0, -2.0]


def lines(figure: go.Figure) -> list[go.Scatter]:
    return [trace for trace in figure.data if trace.mode == "lines" and trace.x[0] is not None]


def curves(figure: go.Figure) -> int:
    return sum(int(np.isnan(trace.x).sum()) for trace in lines(figure))


def test_every_edge_and_node_is_drawn_and_told() -> None:
    figure = circuit_graph(EDGES, SCORES, title="T", unit="logits")
    assert curves(figure) == len(EDGES)
    assert [note.text for note in figure.layout.annotations].count("a0.h1") == 1
    assert {note.text for note in figure.layout.annotations} == {"input", "a0.h1", "m0", "a2.h3", "logits"}
    heights = {note.text: note.y for note in figure.layout.annotations}
    assert heights["input"] < heights["a0.h1"] < heights["m0"] < heights["a2.h3"] < heights["logits"]
    words = next(trace.customdata for trace in figure.data if trace.customdata is not None)
    assert "a0.h1-&gt;m0<br>2 logits" in list(words)
    assert figure.layout.title.text == "T"
    assert figure.layout.template == house_template(LIGHT)


def test_sign_size_and_input_are_told_apart() -> None:
    figure = circuit_graph(EDGES, SCORES, title="T")
    by_colour = dict.fromkeys((HELPS, HURTS), 0)
    for trace in lines(figure):
        by_colour[trace.line.color] += int(np.isnan(trace.x).sum())
    assert by_colour == {HELPS: 4, HURTS: 2}
    assert {"into q", "into k", "into v", "helps (score > 0)", "hurts (score < 0)"} == {
        unescape(trace.name) for trace in figure.data if trace.name
    }
    assert {trace.line.dash for trace in lines(figure)} == {"solid", "dash", "dot"}
    widths = {trace.line.width for trace in lines(figure)}
    assert len(widths) >= 3


def test_doors_are_where_the_edges_end() -> None:
    figure = circuit_graph(["input->a0.h0<q>", "input->a0.h0<k>", "input->a0.h0<v>"], title="T")
    head = next(note for note in figure.layout.annotations if note.text == "a0.h0")
    ends = {trace.line.dash: trace.x[-2] - head.x for trace in lines(figure)}
    assert ends["dash"] < ends["dot"] == 0 < ends["solid"]


def test_an_edge_that_skips_rows_passes_beside_the_boxes() -> None:
    edges = ["input->a0.h0<v>", "a0.h0->a1.h0<v>", "a1.h0->a2.h0<v>", "a2.h0->logits", "input->logits"]
    figure = circuit_graph(edges, title="T")
    last = np.array([*zip(*[lines(figure)[0][axis] for axis in "xy"], strict=True)])
    boxes = [shape for shape in figure.layout.shapes if 0 < (shape.y0 + shape.y1) / 2 < 4]
    curve = np.split(last, np.where(np.isnan(last[:, 0]))[0])[-2]
    for box in boxes:
        inside = (
            (curve[:, 0] > box.x0) & (curve[:, 0] < box.x1) & (curve[:, 1] > box.y0) & (curve[:, 1] < box.y1)
        )
        assert not inside.any()


@pytest.mark.parametrize("count", [0, 1, 200])
def test_many_edges_stay_inside_and_few_are_fine(count: int) -> None:
    names = [
        f"a{layer}.h{head}->a{layer + 1}.h{other}<{'qkv'[head % 3]}>"
        for layer in range(5)
        for head in range(8)
        for other in range(8)
    ]
    figure = circuit_graph(names[:count], list(np.linspace(-1, 1, count)), title="T")
    assert curves(figure) == count
    half = figure.layout.xaxis.range[1]
    assert all(-half <= shape.x0 < shape.x1 <= half for shape in figure.layout.shapes)
    assert len(lines(figure)) <= 32


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="is not a node of a circuit"):
        circuit_graph(["x->logits"], title="T")
    with pytest.raises(ValueError, match="src->dst"):
        circuit_graph(["logits"], title="T")
    with pytest.raises(ValueError, match="1 edges but 2 scores"):
        circuit_graph(["input->logits"], [1, 2], title="T")
    with pytest.raises(ValueError, match="needs a title"):
        circuit_graph([], title=" ")
