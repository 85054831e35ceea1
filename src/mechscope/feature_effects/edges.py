"""Edges between features: how much of a later feature's effect is due to each earlier feature.

Two dictionaries are attached, one after the other. A later feature d has an effect of about Δd · g, where g is the
gradient of the metric; its change is due to the earlier features u, each contributing about Δu · ∂d/∂u · g. Summed over
u and the earlier error term, edges give the part of the later feature's effect that passes through the earlier site, to
first order or, with `steps`, along the straight line from one run's values to the other's. A later feature that is
inactive all along that line has no gradient and no edges.

Source: Marks et al. 2024, "Sparse Feature Circuits", section 3.1 (edges).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mechscope.arguments import checked_arguments
from mechscope.feature_effects.attribution import Written, how, mean_gradient
from mechscope.feature_effects.feature_effects import (
    check_attached,
    check_features,
    features_to_try,
)
from mechscope.model.gradients import gradients_on
from mechscope.model.model_name import model_name
from mechscope.model.precision import at_least_float32
from mechscope.results import Provenance, Result, make_result
from mechscope.tasks.task import Task
from mechscope.techniques.attribution_patching import TwoRuns, check_steps, points_on_line
from mechscope.techniques.sweep.task_sweep import SHARE, Direction, in_words

if TYPE_CHECKING:
    from mechscope.dictionaries.attach import Attached
    from mechscope.model.transformer import HookedTransformer

ERROR = "error"
"""The error term's name among the sources."""


@dataclass(frozen=True)
class FeatureEdges:
    """Contributions of earlier features to the effects of later ones."""

    edges: Result
    """Contributions (destination, source), by the numbers of later and earlier features; the last source is "error"."""
    effects: Result
    """The whole effect of each later feature, to first order (destination,)."""

    @property
    def through(self) -> Any:
        """The part of each later feature's effect that passes through the earlier site [destination]."""
        return self.edges.values.sum("source")

    def strongest(self, count: int = 10) -> tuple[tuple[str, str, float], ...]:
        """(source, destination, value) of the edges with the largest magnitudes."""
        values = self.edges.values
        order = np.argsort(-np.abs(values.values), axis=None, kind="stable")[:count]
        rows, columns = np.unravel_index(order, values.shape)
        return tuple(
            (
                str(values.coords["source"].values[column]),
                str(values.coords["destination"].values[row]),
                float(values.values[row, column]),
            )
            for row, column in zip(rows, columns, strict=True)
        )


@checked_arguments
def attribute_edges(
    model: HookedTransformer,
    task: Task,
    earlier: Attached,
    later: Attached,
    destinations: int | Sequence[int] = 10,
    *,
    direction: Direction = "denoise",
    steps: int = 1,
    normalize: bool = True,
    progress: bool = True,
) -> FeatureEdges:
    """Estimate every edge from the earlier dictionary's features to some of the later one's.

    Args:
        earlier: where the first dictionary is attached; call inside both contexts.
        later: where the second dictionary is attached; it must come after the first.
        destinations: numbers of later features, or how many of those with the largest effects. Each needs a backward
            pass.
        direction: "denoise" or "noise", as for `attribute_features`.
        steps: 1 takes ∂d/∂u at the base run; more average it along the line between the runs.
        normalize: report shares of the whole effect of changing the prompt.
        progress: show a progress bar.

    Raises:
        KeyError: outside one of the contexts.
        ValueError: for features that do not exist, dictionaries in the wrong order, and as for `attribute_features`.
    """
    for attached in (earlier, later):
        check_attached(model, attached)
    check_steps(steps)
    if not isinstance(destinations, int):
        check_features(destinations, later.dictionary.cfg.d_sae)
    run = TwoRuns(model, task, direction, normalize)
    below, above = Written(earlier, run.base, run.source), Written(later, run.base, run.source)
    gradient = mean_gradient(run, later.output, above.start, above.change, 1, progress)
    slopes = torch.stack([above.pulled_back(gradient, example) for example in range(len(gradient))])
    effects = (above.feature_change * slopes).sum(1).mean(0) / run.scale
    chosen = _destinations(effects, destinations)
    sources = features_to_try(below.feature_change != 0, None, earlier.dictionary.cfg.d_sae)
    weighed = {feature: slopes[..., feature] for feature in chosen}
    rows: list[Tensor] = []
    for each in _slopes_below(run, earlier, later, below, weighed, steps, progress):
        features = below.features(each, sources).sum(1).mean(0)
        error = below.error(each).sum(1).mean(0) if earlier.error_term else features.new_zeros(())
        rows.append(torch.cat([features, error[None]]) / run.scale)
    made = SHARE if normalize else task.metric.unit, Provenance(model_name(model), task.name, task.seed)
    title = f"{how(steps)} of edges from {earlier.reads} to {later.reads}, {in_words(direction)}: {task.metric.name}"
    to = np.array([str(feature) for feature in chosen])
    return FeatureEdges(
        make_result(
            torch.stack(rows),
            ("destination", "source"),
            title,
            *made,
            {"destination": to, "source": np.array([*map(str, sources), ERROR])},
        ),
        make_result(effects[list(chosen)], ("destination",), title, *made, {"destination": to}),
    )


def _destinations(effects: Tensor, asked: int | Sequence[int]) -> tuple[int, ...]:
    if not isinstance(asked, int):
        return tuple(asked)
    if asked < 1:
        raise ValueError(
            f"destinations must be a number of later features, at least 1, or a list of them, not {asked}."
        )
    there = int((effects != 0).sum())
    if not there:
        raise ValueError(
            "no feature of the later dictionary has an effect to first order, so there are no edges."
        )
    return tuple(effects.abs().topk(min(asked, there)).indices.tolist())


def _slopes_below(
    run: TwoRuns,
    earlier: Attached,
    later: Attached,
    below: Written,
    weights: dict[int, Tensor],
    steps: int,
    progress: bool,
) -> list[Tensor]:
    """The gradient of each later feature, times its weight [batch pos], at the earlier dictionary's output."""
    totals = [torch.zeros_like(at_least_float32(below.start)) for _ in weights]
    fractions = points_on_line(steps)
    for fraction in tqdm(fractions, desc="edges", disable=not progress or steps == 1):
        leaf = (below.start + fraction * below.change).to(below.start.dtype).detach().requires_grad_()
        found: list[Tensor] = []

        def keep(activation: Tensor, hook: object, found: list[Tensor] = found) -> None:
            found.append(activation)

        def start(activation: Tensor, hook: object, leaf: Tensor = leaf) -> Tensor:
            return leaf

        with (
            gradients_on("scoring edges between features"),
            run.model.hooks(fwd_hooks=[(earlier.output, start), (later.features, keep)]),
        ):
            run.model(run.base.tokens, return_type=None, attention_mask=run.task.attention_mask)
        for total, (feature, weight) in zip(totals, weights.items(), strict=True):
            weighed = (found[0][..., feature] * weight).sum()
            slope = None
            if weighed.requires_grad:
                (slope,) = torch.autograd.grad(weighed, leaf, retain_graph=True, allow_unused=True)
            if slope is None:
                raise ValueError(
                    f"{later.reads} does not depend on {earlier.writes}: give the earlier dictionary first."
                )
            total += slope / len(fractions)
    return totals
