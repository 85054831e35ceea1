"""Faithfulness and completeness of circuits, compared with two kinds of random circuits.

Faithfulness f = (m(C) - m(∅)) / (m(M) - m(∅)): 1 if the circuit alone, with the rest patched, does what the model
does; 0 if it does what the model does with everything patched. The same holds for KL, where m(M) is 0. Over circuits
of all sizes, CPR is the area under f and CMD the area of |1 - f|. Completeness runs the complement instead: little
remains if the circuit misses nothing.
Sources: Wang et al. 2022, section 4 (the three criteria); Mueller et al. 2025 (MIB: the areas).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mechscope.arguments import checked_arguments
from mechscope.model.model_name import model_name
from mechscope.results.provenance import Provenance
from mechscope.results.result import Result, make_result
from mechscope.tasks.task import Task
from mechscope.techniques.circuits._share_of_difference import ShareOfDifference
from mechscope.techniques.circuits.circuit import Circuit
from mechscope.techniques.circuits.graph import EdgeGraph
from mechscope.techniques.circuits.masked_run import MaskedRun, Patch
from mechscope.techniques.circuits.null_circuits import (
    has_layer_matched,
    layer_matched_circuit,
    random_circuit,
)

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

SERIES = ("circuit", "random circuits", "layer-matched circuits")
"""The circuit, and the two nulls of the same size."""
BOUNDS = ("low", "high")


@dataclass(frozen=True)
class Evaluation:
    """How circuits of one or more sizes do on a task, compared with both nulls.

    Intervals of the circuit are bootstrapped over examples; those of a null cover its draws.
    """

    faithfulness: Result
    """Share of the behaviour that circuits alone keep [series size]; for a null the median over draws, NaN for the
    layer-matched null if layers have a single head."""
    faithfulness_interval: Result
    """Its interval [series bound size]."""
    completeness: Result
    """Share that the complements keep while the circuit is patched [series size]; lower is more complete."""
    completeness_interval: Result
    """Its interval [series bound size]."""
    areas: Result
    """CPR and CMD over the share of edges [series measure]; NaN for a single circuit."""
    circuits: tuple[Circuit, ...]
    """The circuits, from the smallest to the largest."""

    def figure(self) -> Any:
        """Curves of faithfulness and completeness, with intervals as bands."""
        from mechscope.techniques.circuits._evaluation_figure import evaluation_figure

        return evaluation_figure(self)

    def show(self) -> Any:
        """Display the figure and return it."""
        figure = self.figure()
        figure.show()
        return figure

    def __repr__(self) -> str:
        sizes = self.faithfulness.values.coords["size"].values
        words = (
            f"{len(sizes)} circuits of {sizes[0]} to {sizes[-1]} edges"
            if len(sizes) > 1
            else f"{sizes[0]} edges"
        )
        shown = "; ".join(
            f"{series}: "
            + ", ".join(f"{value:.2f}" for value in self.faithfulness.values.sel(series=series).values)
            for series in SERIES
        )
        return f"<faithfulness of {words}: {shown}>"


@checked_arguments
def evaluate(
    model: HookedTransformer,
    task: Task,
    circuits: Sequence[Circuit],
    *,
    patch: Patch = "corrupted",
    draws: int = 20,
    confidence: float = 0.95,
    seed: int = 0,
    memory: int | None = None,
    progress: bool = True,
    note: str = "",
) -> Evaluation:
    """Evaluate circuits of one graph, such as those of one method with growing size.

    Args:
        model: the model.
        task: the prompts to evaluate on, preferably others than the circuits were found with.
        circuits: one or more circuits.
        patch: the activations along edges outside a circuit (see `MaskedRun`).
        draws: random circuits of each null at each size.
        confidence: level of the two-sided intervals.
        seed: seed of nulls and bootstrap.
        memory: bytes that it may use; by default a quarter of the free memory.
        progress: show a progress bar.
        note: added to the title, such as "held-out prompts".

    Raises:
        ValueError: for no circuits, circuits of different graphs or another model, no draws, or a task whose clean
            and corrupted runs score alike.
    """
    graph = check_circuits(model, circuits)
    if draws < 1 or not 0 < confidence < 1:
        raise ValueError(
            f"draws must be at least 1 and confidence between 0 and 1, not {draws} and {confidence}."
        )
    run = MaskedRun(model, task, graph, patch=patch, memory=memory)
    share = ShareOfDifference(run, seed)
    circuits = tuple(sorted(circuits, key=lambda circuit: circuit.n_edges))
    generator = torch.Generator().manual_seed(seed)
    kept = [circuit.kept for circuit in circuits]
    for circuit in circuits:
        kept += [random_circuit(graph, circuit.n_edges, generator).kept for _ in range(draws)]
        kept += [layer_matched_circuit(circuit, generator).kept for _ in range(draws)]
    alone = torch.stack(kept)
    both = torch.cat([alone, graph.valid & ~alone])
    values = run.measure(both, progress=progress, description="evaluation").double()
    sizes = [circuit.n_edges for circuit in circuits]
    matched = np.array([has_layer_matched(circuit) for circuit in circuits])
    tables = [_table(share, part, matched, draws, confidence) for part in values.split(len(alone))]
    (faithful, faithful_ends, draws_faithful), (complete, complete_ends, _) = tables
    made = Provenance(model_name(model), task.name, seed)
    suffix = f" ({note})" if note else ""
    coords = {"series": list(SERIES), "size": sizes}

    def result(table: np.ndarray, title: str, bounds: bool = False) -> Result:
        dims = ("series", "bound", "size") if bounds else ("series", "size")
        extra = {"bound": list(BOUNDS)} if bounds else {}
        return make_result(
            table, dims, title + suffix, "share of the behaviour", made, {**coords, **extra}, "curves"
        )

    return Evaluation(
        result(faithful, f"Faithfulness of circuits, {task.name}"),
        result(faithful_ends, f"{confidence:.0%} intervals of faithfulness, {task.name}", bounds=True),
        result(complete, f"What the model keeps without the circuit, {task.name}"),
        result(
            complete_ends,
            f"{confidence:.0%} intervals of what is kept without the circuit, {task.name}",
            bounds=True,
        ),
        _areas(
            draws_faithful, np.array(sizes) / graph.n_edges, f"Areas over size, {task.name}{suffix}", made
        ),
        circuits,
    )


def check_circuits(model: HookedTransformer, circuits: Sequence[Circuit]) -> EdgeGraph:
    """Check that circuits have one graph and fit a model; returns the graph.

    Raises:
        ValueError: if they do not, or there are none.
    """
    if not circuits:
        raise ValueError("the list of circuits is empty; give at least one.")
    graph = circuits[0].graph
    for circuit in circuits:
        if circuit.graph != graph:
            raise ValueError(f"all circuits must have the same graph, not {graph} and {circuit.graph}.")
    ours = EdgeGraph.of(model, graph.qkv)
    if graph != ours:
        raise ValueError(f"{circuits[0].name} belongs to {graph}; this model has {ours}.")
    return graph


def _table(
    share: ShareOfDifference, values: torch.Tensor, matched: np.ndarray, draws: int, confidence: float
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Shares [series size], their intervals [series bound size], and the shares of every draw by series [draw size]."""
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    n_circuits = len(matched)
    own = share.of(values[:n_circuits])
    own_ends = np.quantile(share.resampled(values[:n_circuits]), tails, axis=0)
    nulls = share.of(values[n_circuits:]).reshape(n_circuits, 2, draws)
    nulls[~matched, 1] = np.nan
    series = [own[None], nulls[:, 0].T, nulls[:, 1].T]
    table = np.stack([own, *(np.median(part, axis=0) for part in series[1:])])
    ends = np.stack([own_ends, *(np.quantile(part, tails, axis=0) for part in series[1:])])
    return table, ends, series


def _areas(series: list[np.ndarray], sizes: np.ndarray, title: str, made: Provenance) -> Result:
    """CPR and CMD by trapezoids from no edges (f = 0) to all edges (f = 1); for a null, means over draws."""
    areas = np.full((len(series), 2), np.nan)
    if len(sizes) > 1:
        at = np.concatenate([[0.0], sizes, [1.0]])
        for index, shares in enumerate(series):
            ends = np.zeros((len(shares), 1)), np.ones((len(shares), 1))
            whole = np.hstack([ends[0], shares, ends[1]])
            areas[index] = [_area(y, at).mean() for y in (whole, np.abs(1 - whole))]
    coords = {"series": list(SERIES), "measure": ["CPR", "CMD"]}
    return make_result(
        areas,
        ("series", "measure"),
        title,
        "share of the behaviour × share of the edges",
        made,
        coords,
        "bars",
    )


def _area(heights: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The area under each curve [draw], by trapezoids."""
    return ((heights[:, 1:] + heights[:, :-1]) / 2 * np.diff(at)).sum(1)
