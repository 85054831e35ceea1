"""A circuit as an interactive graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mechscope.arguments import checked_arguments, shown
from mechscope.viz.circuit_layout import lay_out_circuit
from mechscope.viz.views._circuit_inputs import FIRST_SHOWN, Edges, edges_of
from mechscope.viz.views._circuit_picture import circuit_picture
from mechscope.viz.views.view import View


class CircuitView(View):
    """A circuit whose nodes can be selected, and whose edges can be pruned. Made by `mechscope.viz.circuit`."""

    nodes: tuple[str, ...] = ()
    """Names of the nodes that are drawn."""

    @property
    def selected_node(self) -> str | None:
        """The node that was clicked last, or None."""
        return self.selected("selected_node")

    @selected_node.setter
    def selected_node(self, node: str | None) -> None:
        if node is not None and node not in self.nodes:
            raise ValueError(f"{shown(node)} is not in this graph; its nodes are {', '.join(self.nodes)}.")
        self.select("selected_node", node)

    @property
    def threshold(self) -> float | None:
        """The smallest size of a score that is kept; None if none is kept, or edges have no scores."""
        return self.selected("threshold")

    @threshold.setter
    def threshold(self, threshold: float | None) -> None:
        if not _is_pruned(self.props):
            raise ValueError("the edges of this view have no scores, so no threshold chooses among them.")
        self.select("threshold", None if threshold is None else float(threshold))

    @property
    def kept_edges(self) -> list[str]:
        """Names of the edges that are kept at the threshold; without scores, all edges of the circuit."""
        return kept_edges(self.props, self.threshold)


@checked_arguments
def circuit(
    edges: Any,
    scores: Any = None,
    *,
    truth: Any = None,
    title: str = "",
    unit: str = "",
    notes: Mapping[str, str] | None = None,
    n_edges: int | None = None,
    most_edges: int = 500,
) -> CircuitView:
    """A circuit as a graph: the input at the bottom, layers upwards, the logits on top.

    The pointer or the arrow keys read nodes and edges; a click or Enter selects a node. With scores, a slider prunes.
    With the true edges, colour and style of a line show whether an edge was found, missed or is extra.
    `mechscope.viz.circuit_graph` draws a Plotly figure instead.

    Args:
        edges: what `discover` returns (all edges of a model with their scores), a `Circuit`, a planted model (its true
            circuit, with what each part does), a published circuit, names `src->dst`, or a dictionary from names to
            scores.
        scores: with names, one number per edge; None or NaN where there is no score.
        truth: the true edges to compare with: anything that can be given as edges. Without scores, the given edges
            are compared as they are.
        title: what is shown.
        unit: of the scores.
        notes: node → what it does.
        n_edges: how many edges to keep at first, those with the largest scores; if omitted, as many as are true, 50 of
            a discovery, and otherwise all.
        most_edges: draw no more edges than this, those with the largest scores, and the true ones.

    Raises:
        ValueError: for a name that is no edge, an edge that comes twice, scores that do not fit, or no edges.
        TypeError: for anything that is no circuit.
        KeyError: for a true edge that the model does not have.

    >>> view = circuit({"input->a0.h1<v>": 0.8, "a0.h1->logits": -0.2, "input->logits": 0.1}, n_edges=2)
    >>> view.kept_edges
    ['input->a0.h1<v>', 'a0.h1->logits']
    """
    given = edges_of(edges, scores)
    true = None if truth is None else edges_of(truth)
    if true is not None and given.graph is not None:
        given.graph.mask(true.names)
    if most_edges < 1 or (n_edges is not None and n_edges < 0):
        raise ValueError("n_edges and most_edges count edges: give whole numbers of at least 1.")
    if n_edges is not None and given.scores is None:
        raise ValueError("n_edges chooses the edges with the largest scores, but these edges have no scores.")
    if n_edges is not None and n_edges > most_edges:
        raise ValueError(f"n_edges={n_edges} are more than most_edges={most_edges}, which are drawn.")
    props = _props(given, true, most_edges)
    shape = (
        {} if given.graph is None else {"n_heads": given.graph.n_heads, "n_kv_heads": given.graph.n_kv_heads}
    )
    nodes = sorted({*given.nodes, *(() if true is None else true.nodes)})
    layout = lay_out_circuit(props["edges"], others=nodes, **shape)
    props |= {
        "label": title or given.title or "circuit",
        "unit": unit or given.unit,
        "notes": dict(notes or given.notes or ({} if true is None else true.notes)),
        "nodes": nodes,
        **{{"n_heads": "nHeads", "n_kv_heads": "nKvHeads"}[name]: value for name, value in shape.items()},
    }
    first = n_edges
    if first is None:
        first = FIRST_SHOWN if given.is_whole else len(given.names)
        first = first if true is None else len(true.names)
    selection = {"selected_node": None, "threshold": _keeping(props, first)}
    words = f"circuit of {len(kept_edges(props, selection['threshold']))} edges"
    words += f": {props['label']}" if props["label"] != "circuit" else ""

    def picture(shown_props: Mapping[str, Any], arrays: object) -> str:
        threshold = view.threshold
        return circuit_picture(shown_props, layout, kept_edges(shown_props, threshold), threshold)

    view = CircuitView("circuit", props, {}, selection, picture, words)
    view.nodes = tuple(layout.places)
    return view


def _props(given: Edges, true: Edges | None, most: int) -> dict[str, Any]:
    """The edges that are drawn, their scores, and what they are compared with."""
    truth = {} if true is None else {"truth": true.names}
    if given.scores is None:
        missing = [] if true is None else [name for name in true.names if name not in set(given.names)]
        kept = {} if true is None else {"kept": given.names}
        return {"edges": [*given.names, *missing], **truth, **kept}
    scores = dict(zip(given.names, given.scores, strict=True))
    if true is not None and not given.is_whole and given.graph is not None:
        # A circuit that was chosen already: what it left out has no score that could be compared.
        missing = [name for name in true.names if name not in scores]
        names = [*given.names, *missing]
        return {"edges": names, "scores": [scores.get(name) for name in names], **truth, "kept": given.names}
    if true is not None and (unknown := next((name for name in true.names if name not in scores), None)):
        raise ValueError(
            f"the true edge {unknown} has no score; give the scores of all edges that a method looked at."
        )
    ranked = sorted(scores, key=lambda name: -abs(scores[name] or 0.0))
    drawn = {*ranked[:most], *(() if true is None else true.names)}
    left_out = [name for name in ranked[most:] if name not in drawn]
    names = [name for name in scores if name in drawn]
    omitted = {}
    if left_out:
        largest = max(abs(scores[name] or 0.0) for name in left_out)
        omitted = {"omitted": {"count": len(left_out), "largest": largest}}
    return {"edges": names, "scores": [scores[name] for name in names], **truth, **omitted}


def _is_pruned(props: Mapping[str, Any]) -> bool:
    return "scores" in props and "kept" not in props


def _keeping(props: Mapping[str, Any], count: int) -> float | None:
    """The largest threshold that keeps at least `count` edges; the smallest that may be chosen, if there is none."""
    if not _is_pruned(props):
        return None
    lowest = props.get("omitted", {"largest": 0.0})["largest"]
    sizes = sorted((abs(score) for score in props["scores"] if score is not None), reverse=True)
    allowed = [size for size in sizes if size > lowest]
    return allowed[min(count, len(allowed)) - 1] if allowed and count else None


def kept_edges(props: Mapping[str, Any], threshold: float | None) -> list[str]:
    """The edges of a view that are kept at a threshold."""
    if not _is_pruned(props):
        return list(props.get("kept", props["edges"]))
    if threshold is None:
        return []
    pairs = zip(props["edges"], props["scores"], strict=True)
    return [name for name, score in pairs if score and abs(score) >= threshold]
