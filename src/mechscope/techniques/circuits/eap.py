"""Edge attribution patching: a first-order estimate of the effect of patching each edge, from one backward pass.

score(u -> v) = mean over examples of Σ_pos (clean output of u - corrupted output of u) · ∂metric/∂(input of v).
Source: Syed et al. 2023, "Attribution patching outperforms automated circuit discovery", section 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tqdm import tqdm

from mechscope.tasks.task import Task
from mechscope.techniques.circuits._edge_scores import EdgeScores, Scores
from mechscope.techniques.circuits.graph import EdgeGraph

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer


def edge_attribution_patching(
    model: HookedTransformer,
    task: Task,
    graph: EdgeGraph | None = None,
    *,
    memory: int | None = None,
    progress: bool = True,
) -> Scores:
    """Scores of all edges [source destination] in the metric's unit, NaN where there is no edge.

    A positive score estimates how far patching the edge would move the metric away from its clean value.

    Args:
        model: the model.
        task: clean and corrupted prompts, answers, metric.
        graph: the edge graph; by default with separate q, k and v inputs.
        memory: bytes that it may use; by default a quarter of the free memory.
        progress: show a progress bar.

    Raises:
        ValueError: for a metric without a gradient at the clean run (accuracy; KL divergence from the clean run), or
            with equal clean and corrupted values.
    """
    if task.metric.needs_reference:
        raise ValueError(
            f"{task.metric.name} is at its minimum in the clean run, where its gradient is zero, so EAP would score "
            "every edge 0: use EAP-IG, or another metric."
        )
    sums = EdgeScores(model, task, graph, memory=memory)
    with tqdm(total=task.n_examples, desc="EAP", disable=not progress) as bar:
        for piece in sums.pieces():
            for number, gradient in sums.gradients(piece, piece.clean.sources[0]):
                sums.add(number, gradient, piece.difference)
            bar.update(piece.task.n_examples)
    return sums.scores()
