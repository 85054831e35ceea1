"""Edge attribution patching with integrated gradients: the gradient averaged on the way from corrupted to clean.

One gradient misjudges what saturates, such as a softmax that is already sure. Averaged over `steps` points
between the two runs it sees the whole way. The way may lead through the embedded prompts ("inputs"), all edges
at once, or through the output of one node after another while the rest stays clean ("activations").
Source: Hanna et al. 2024, "Have faith in faithfulness", section 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from tqdm import tqdm

from mechscope.model.precision import at_least_float32
from mechscope.tasks.task import Task
from mechscope.techniques.circuits._edge_scores import EdgeScores, Piece, Scores
from mechscope.techniques.circuits.graph import EdgeGraph
from mechscope.techniques.sweep._memory import batch_memory

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer


def eap_ig_inputs(
    model: HookedTransformer,
    task: Task,
    graph: EdgeGraph | None = None,
    *,
    steps: int = 5,
    memory: int | None = None,
    progress: bool = True,
) -> Scores:
    """EAP with gradients averaged over prompts between the corrupted and the clean one.

    score(u -> v) = (clean output of u - corrupted output of u) · mean over k = 1 … steps of the gradient at v when
    the embedding is corrupted + k/steps (clean - corrupted).

    Args:
        model: the model.
        task: clean and corrupted prompts, answers, metric.
        graph: the edges that are told apart; by default all, with q, k and v separate.
        steps: points on the way; the work grows with them.
        memory: bytes that it may take; by default a quarter of what is free.
        progress: show a bar with the time left.

    Returns:
        scores [source destination] in the metric's unit, with the sign of `edge_attribution_patching`.

    Raises:
        ValueError: for no steps, or a metric without a gradient, or whose clean and corrupted values are alike.
    """
    _check_steps(steps)
    sums = EdgeScores(model, task, graph, memory=memory)
    with tqdm(total=task.n_examples * steps, desc="EAP-IG", disable=not progress) as bar:
        for piece in sums.pieces():
            for step in range(1, steps + 1):
                between = piece.clean.sources[0] - (1 - step / steps) * piece.difference[0]
                for number, gradient in sums.gradients(piece, between):
                    sums.add(number, gradient, piece.difference, 1 / steps)
                bar.update(piece.task.n_examples)
    return sums.scores()


def eap_ig_activations(
    model: HookedTransformer,
    task: Task,
    graph: EdgeGraph | None = None,
    *,
    steps: int = 5,
    memory: int | None = None,
    progress: bool = True,
) -> Scores:
    """EAP with gradients averaged while one node's output goes from corrupted to clean, node by node.

    The scores of a node's outgoing edges add up, as steps grow, to what patching that node alone does. The work
    grows with nodes times steps; each pass starts where its node writes.

    Args, return and errors are those of `eap_ig_inputs`.
    """
    _check_steps(steps)
    sums = EdgeScores(model, task, graph, memory=memory)
    sources = sums.split.sources
    memory = batch_memory(sums.budget, model.W_E.device)
    with tqdm(total=task.n_examples * steps * len(sources), desc="EAP-IG", disable=not progress) as bar:
        for piece in sums.pieces():
            for stage in range(-1, len(sums.split.stages) - 1):
                rows = (sums.split.source_stage == stage).nonzero().flatten().tolist()
                ways = [(row, step) for row in rows for step in range(1, steps + 1)]
                at_once = max(1, memory // (piece.task.n_examples * sums.bytes_of_pass))
                for start in range(0, len(ways), at_once):
                    _add_ways(sums, piece, stage + 1, ways[start : start + at_once], steps)
                    bar.update(len(ways[start : start + at_once]) * piece.task.n_examples)
    return sums.scores()


def _add_ways(sums: EdgeScores, piece: Piece, first: int, ways: list[tuple[int, int]], steps: int) -> None:
    """Add the gradients at some points on some nodes' ways; all those nodes write just before stage `first`."""
    graph = sums.split
    rows = [row for row, _ in ways]
    left = torch.tensor([1 - step / steps for _, step in ways]).to(piece.difference)
    difference = piece.difference[rows]
    residual = _stream_before(piece, sums, first) - left[:, None, None, None] * difference
    before = None
    if graph.parallel and graph.stages[first].kind == "mlp":
        before = piece.clean.read[first].repeat(len(ways), 1, 1)
    for number, gradient in sums.gradients(piece, residual.flatten(0, 1), len(ways), first, before):
        columns = graph.stages[number].destinations
        split = gradient.unflatten(1, (len(ways), -1)).transpose(0, 1)
        product = torch.einsum("wbpm,wdbpm->wd", at_least_float32(difference), at_least_float32(split))
        product = product.double().cpu() / steps
        sums.total[:, columns.start : columns.stop].index_add_(0, torch.tensor(rows), product)


def _stream_before(piece: Piece, sums: EdgeScores, first: int) -> torch.Tensor:
    """The clean residual stream in which everything written before stage `first` has been added."""
    graph = sums.split
    if graph.parallel and graph.stages[first].kind == "mlp":
        # What this MLP reads does not hold its own block's heads yet; the next stage's stream holds both.
        own = graph.stages[first].sources.start
        return piece.clean.read[first + 1] - piece.clean.sources[own]
    return piece.clean.read[first]


def _check_steps(steps: int) -> None:
    if steps < 1:
        raise ValueError(f"the way needs at least one step, not {steps}.")
