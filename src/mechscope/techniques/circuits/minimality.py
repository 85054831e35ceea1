"""Minimality: how much faithfulness a circuit loses without each of its nodes or edges.

The losses are compared with those of parts of random and of layer-matched circuits of the same size.
Source: Wang et al. 2022, section 4.3 (here each part is removed from the whole circuit).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from mechscope.model.model_name import model_name
from mechscope.results.provenance import Provenance
from mechscope.results.result import Result, make_result
from mechscope.tasks.task import Task
from mechscope.techniques.circuits._share_of_difference import ShareOfDifference
from mechscope.techniques.circuits.circuit import Circuit
from mechscope.techniques.circuits.evaluation import BOUNDS, SERIES, check_circuits
from mechscope.techniques.circuits.masked_run import MaskedRun, Patch
from mechscope.techniques.circuits.null_circuits import (
    has_layer_matched,
    layer_matched_circuit,
    random_circuit,
)

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer


@dataclass(frozen=True)
class Minimality:
    """The loss of faithfulness without each part of a circuit."""

    lost: Result
    """Loss of faithfulness [node] or [edge]; negative if the circuit is better without the part."""
    interval: Result
    """Its interval over examples (bootstrap) [bound node] or [bound edge]."""
    nulls: Result
    """The loss without one random part of a null circuit, for each draw [series draw]."""

    def figure(self) -> Any:
        """Bars, the largest first, with lines at the 95th percentiles of the nulls."""
        from mechscope.techniques.circuits._evaluation_figure import minimality_figure

        return minimality_figure(self)

    def show(self) -> Any:
        """Display the figure and return it."""
        figure = self.figure()
        figure.show()
        return figure


def minimality(
    model: HookedTransformer,
    task: Task,
    circuit: Circuit,
    by: Literal["node", "edge"] = "node",
    *,
    patch: Patch = "corrupted",
    draws: int = 20,
    confidence: float = 0.95,
    seed: int = 0,
    memory: int | None = None,
    progress: bool = True,
) -> Minimality:
    """Measure the loss of faithfulness without each node (heads and MLPs, not input and logits) or each edge.

    Other arguments and errors are those of `evaluate`; `by` says what is removed.

    Raises:
        ValueError: also for a circuit without such parts.
    """
    graph = check_circuits(model, [circuit])
    if by not in ("node", "edge"):
        raise ValueError(f"by must be 'node' or 'edge', not {by!r}.")
    parts = _parts(circuit, by)
    if not parts or draws < 1:
        raise ValueError(
            f"{circuit.name} has {len(parts)} {by}s to remove, and draws={draws}; both must be positive."
        )
    run = MaskedRun(model, task, graph, patch=patch, memory=memory)
    share = ShareOfDifference(run, seed)
    run.hold(circuit.kept)
    generator = torch.Generator().manual_seed(seed)
    nulls: list[torch.Tensor] = []
    for draw in range(2 * draws):
        null = layer_matched_circuit(circuit, generator)
        null = null if draw >= draws else random_circuit(graph, circuit.n_edges, generator)
        choices = _parts(null, by)
        some = choices[int(torch.randint(len(choices), (1,), generator=generator))] if choices else None
        nulls += [null.kept, null.kept if some is None else _without(null, some, by)]
    tested = [circuit.kept, *(_without(circuit, part, by) for part in parts), *nulls]
    values = run.measure(torch.stack(tested), progress=progress, description=f"without each {by}").double()
    count = 1 + len(parts)
    shares, resampled = share.of(values), share.resampled(values[:count])
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    ends = np.quantile(resampled[:, :1] - resampled[:, 1:], tails, axis=0)
    pairs = shares[count:].reshape(2, draws, 2)
    if not has_layer_matched(circuit):
        pairs[1] = np.nan
    made = Provenance(model_name(model), task.name, seed)
    title = f"What {circuit.name} loses without each {by}, {task.name}"
    unit = "share of the behaviour"
    return Minimality(
        make_result(shares[0] - shares[1:count], (by,), title, unit, made, {by: parts}, "bars"),
        make_result(
            ends, ("bound", by), f"{title}: intervals", unit, made, {"bound": list(BOUNDS), by: parts}
        ),
        make_result(
            pairs[..., 0] - pairs[..., 1],
            ("series", "draw"),
            f"What null circuits lose without a random {by}, {task.name}",
            unit,
            made,
            {"series": list(SERIES[1:])},
        ),
    )


def _parts(circuit: Circuit, by: str) -> list[str]:
    if by == "edge":
        return circuit.edges()
    return [node for node in circuit.nodes() if node not in ("input", "logits")]


def _without(circuit: Circuit, part: str, by: str) -> torch.Tensor:
    if by == "node":
        return circuit.without(part).kept
    kept = circuit.kept.clone()
    kept[circuit.graph.edge(part)] = False
    return kept
