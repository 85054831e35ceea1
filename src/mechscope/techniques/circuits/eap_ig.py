"""Edge attribution patching with integrated gradients: the gradient is averaged between corrupted and clean.

A single gradient misjudges saturated functions, such as a softmax that is already confident. Averaging over `steps`
points between the two runs takes the whole path into account. The path either interpolates the embedded prompts, for
all edges at once ("inputs"), or the output of one node at a time while the rest stays clean ("activations").
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
        graph: the edge graph; by default with separate q, k and v inputs.
        steps: points on the path; the cost is proportional to them.
        memory: bytes that it may use; by default a quarter of the free memory.
        progress: show a progress bar.

    Returns:
        scores [source destination] in the metric's unit, with the sign of `edge_attribution_patching`.

    Raises:
        ValueError: for fewer than one step, or a metric without a gradient or with equal clean and corrupted values.
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

    With many steps, the scores of a node's outgoing edges sum to the effect of patching that node alone. The cost is
    proportional to nodes times steps; each pass starts where its node writes.

    Arguments, result and errors are those of `eap_ig_inputs`.
    """
    _check_steps(steps)
    sums = EdgeScores(model, task, graph, memory=memory)
    sources = sums.split.sources
    memory = batch_memory(sums.budget, model.W_E.device)
    with tqdm(total=task.n_examples * steps * len(sources), desc="EAP-IG", disable=not progress) as bar:
        for piece in sums.pieces():
            for stage in range(-1, len(sums.split.stages) - 1):
                rows = (sums.split.source_stage == stage).nonzero().flatten().tolist()
                points = [(row, step) for row in rows for step in range(1, steps + 1)]
                at_once = max(1, memory // (piece.task.n_examples * sums.bytes_of_pass))
                for start in range(0, len(points), at_once):
                    _add_points(sums, piece, stage + 1, points[start : start + at_once], steps)
                    bar.update(len(points[start : start + at_once]) * piece.task.n_examples)
    return sums.scores()


def _add_points(
    sums: EdgeScores, piece: Piece, first: int, points: list[tuple[int, int]], steps: int
) -> None:
    """Add the gradients at some (node, step) pairs; all these nodes write just before stage `first`."""
    graph = sums.split
    rows = [row for row, _ in points]
    left = torch.tensor([1 - step / steps for _, step in points]).to(piece.difference)
    difference = piece.difference[rows]
    residual = _stream_before(piece, sums, first) - left[:, None, None, None] * difference
    before = None
    if graph.parallel and graph.stages[first].kind == "mlp":
        before = piece.clean.read[first].repeat(len(points), 1, 1)
    for number, gradient in sums.gradients(piece, residual.flatten(0, 1), len(points), first, before):
        columns = graph.stages[number].destinations
        split = gradient.unflatten(1, (len(points), -1)).transpose(0, 1)
        product = torch.einsum("wbpm,wdbpm->wd", at_least_float32(difference), at_least_float32(split))
        product = product.double().cpu() / steps
        sums.total[:, columns.start : columns.stop].index_add_(0, torch.tensor(rows), product)


def _stream_before(piece: Piece, sums: EdgeScores, first: int) -> torch.Tensor:
    """The clean residual stream with everything written before stage `first`."""
    graph = sums.split
    if graph.parallel and graph.stages[first].kind == "mlp":
        # This MLP's input does not contain its own block's heads yet; the next stage's stream contains both.
        own = graph.stages[first].sources.start
        return piece.clean.read[first + 1] - piece.clean.sources[own]
    return piece.clean.read[first]


def _check_steps(steps: int) -> None:
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}.")
