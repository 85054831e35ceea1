"""Attribution of features: estimate the effect of patching every feature from a few passes.

To first order a feature's effect is (other value - value) · d(metric)/d(feature), and likewise for the error term. With
`steps` the gradient is averaged along the straight line on which all features and the error term go from one run's
values to the other's. The line starts and ends at real runs, so with many steps the contributions sum to the effect of
changing all of them (integrated gradients: Sundararajan et al. 2017; for features Marks et al. 2024, "Sparse Feature
Circuits", section 3.1).

A feature is written along one decoder row, so all gradients follow from the gradient at the dictionary's output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from tqdm import tqdm

from mechscope.arguments import checked_arguments
from mechscope.feature_effects.feature_effects import (
    FeatureEffects,
    at_positions,
    check_attached,
    check_by,
    effects_result,
    features_to_try,
    positions_of,
    pulled_back,
)
from mechscope.model.model_name import model_name
from mechscope.model.precision import at_least_float32
from mechscope.results import Provenance
from mechscope.tasks.task import Task
from mechscope.techniques.attribution_patching import GradientPass, TwoRuns, check_steps, points_on_line
from mechscope.techniques.sweep.base_run import BaseRun
from mechscope.techniques.sweep.task_sweep import SHARE, Direction, in_words

if TYPE_CHECKING:
    from mechscope.dictionaries.attach import Attached
    from mechscope.dictionaries.dictionary import Dictionary
    from mechscope.model.transformer import HookedTransformer


@checked_arguments
def attribute_features(
    model: HookedTransformer,
    task: Task,
    attached: Attached,
    by: Sequence[str] = ("feature",),
    *,
    direction: Direction = "denoise",
    steps: int = 1,
    normalize: bool = True,
    progress: bool = True,
) -> FeatureEffects:
    """Estimate what `patch_features` would measure, for every feature that differs between the two runs.

    Args:
        attached: from `with dictionary.attached(model, hook_name) as attached:`; call inside the block. Without the
            error term, effects are those in the model that continues with the reconstruction.
        by: ("feature",) or ("pos", "feature").
        direction: "denoise" puts clean values into the corrupted run, "noise" corrupted ones into the clean run.
        steps: 1 takes the gradient at the base run; more average it over the midpoints of that many pieces of the line.
        normalize: report shares of the whole effect of changing the prompt; otherwise changes of the metric.
        progress: show a progress bar (with several steps).

    Returns:
        the estimates; their `whole` is measured by a run in which all features and the error term are changed. The
        path through a skip term is not included.

    Raises:
        KeyError: outside the dictionary's context.
        ValueError: for invalid axes or steps, a metric without gradient, a task that does not fit, or runs that do not
            differ.
    """
    check_attached(model, attached)
    dims = check_by(by)
    check_steps(steps)
    places = positions_of(task, dims)
    run = TwoRuns(model, task, direction, normalize)
    written = Written(attached, run.base, run.source)
    gradient = mean_gradient(run, attached.output, written.start, written.change, steps, progress)
    chosen = features_to_try(written.feature_change != 0, None, attached.dictionary.cfg.d_sae)
    contributions = written.features(gradient, chosen)
    title = f"{how(steps)} of features at {attached.reads}, {in_words(direction)}: {task.metric.name}"
    made = SHARE if normalize else task.metric.unit, Provenance(model_name(model), task.name, task.seed)
    error = None
    if attached.error_term:
        values = at_positions(written.error(gradient), places) / run.scale
        error = effects_result(values, dims, places, None, f"{title}, error term", *made)
    effects = at_positions(contributions, places) / run.scale
    return FeatureEffects(
        effects_result(effects, dims, places, chosen, title, *made),
        error,
        _whole(run, attached.output, (written.start + written.change).to(written.start.dtype)),
    )


def how(steps: int) -> str:
    """The name of the estimate in titles."""
    return "Attribution patching" if steps == 1 else f"Integrated gradients ({steps} steps)"


class Written:
    """What a dictionary writes in a base run, and how it changes towards a source run.

    Args:
        attached: where the dictionary is.
        base: the run that is changed.
        source: the run that provides values.
    """

    def __init__(self, attached: Attached, base: BaseRun, source: BaseRun) -> None:
        self.dictionary: Dictionary = attached.dictionary
        points = [attached.features] + ([attached.error] if attached.error_term else [])
        base.require([*points, attached.output, f"{attached.reads}.hook_sae_input"])
        source.require(points)
        self.x = base[f"{attached.reads}.hook_sae_input"]
        self.base_features = base[attached.features]
        self.feature_change = at_least_float32(source[attached.features]) - at_least_float32(
            self.base_features
        )
        """[batch pos feature]"""
        self.start = base[attached.output]
        """The activation with which the model continues in the base run [batch pos ...]."""
        with torch.no_grad():
            decoded = at_least_float32(self.dictionary.decode(source[attached.features], self.x))
            decoded = decoded - at_least_float32(self.dictionary.decode(self.base_features, self.x))
        self.change = decoded.reshape(self.start.shape).to(at_least_float32(self.start))
        """Its change if all features and the error term change [batch pos ...]."""
        self.error_change: Tensor | None = None
        if attached.error_term:
            self.error_change = at_least_float32(source[attached.error]) - at_least_float32(
                base[attached.error]
            )
            self.change = self.change + self.error_change

    def features(self, gradient: Tensor, chosen: Sequence[int]) -> Tensor:
        """Change times gradient of some features [batch pos feature], from the gradient at the output."""
        which = list(chosen)
        rows = [
            self.pulled_back(gradient, example)[:, which] * self.feature_change[example][:, which]
            for example in range(len(gradient))
        ]
        return torch.stack(rows)

    def error(self, gradient: Tensor) -> Tensor:
        """The error term's change times gradient [batch pos]."""
        assert self.error_change is not None
        return (self.error_change * gradient).flatten(2).sum(-1)

    def pulled_back(self, gradient: Tensor, example: int) -> Tensor:
        """One example's gradient at its features [pos feature]."""
        return at_least_float32(
            pulled_back(self.dictionary, self.base_features[example], self.x[example], gradient[example])
        )


def mean_gradient(
    run: TwoRuns, hook: str, start: Tensor, change: Tensor, steps: int, progress: bool
) -> Tensor:
    """d(metric of each example)/d(activation at `hook`), at the base or averaged along the line [batch pos ...].

    Also sets the baselines of `run`.
    """
    found: list[Tensor] = []
    total, reference = torch.zeros_like(at_least_float32(start)), run.reference
    fractions = points_on_line(steps)
    for number, fraction in enumerate(tqdm(fractions, desc="gradients", disable=not progress or steps == 1)):
        forward = GradientPass(
            run.model,
            run.task,
            run.base.tokens,
            [hook],
            reference,
            (start + fraction * change).to(start.dtype),
            bottom=hook,
        )
        if number == 0:
            run.set_baselines(forward.logits if steps == 1 else run.logits(run.base))
        found.clear()
        forward.backward(lambda _, gradient: found.append(gradient))
        total += found[0] / len(fractions)
    return total


def _whole(run: TwoRuns, hook: str, value: Tensor) -> float:
    """The effect of replacing an activation by a value, measured by a run."""
    with torch.no_grad(), run.model.hooks(fwd_hooks=[(hook, lambda activation, hook: value)]):
        after = run.task.logits(run.model, run.base.tokens)
    before, reference = run.logits(run.base), run.reference
    change = run.task.measure(after, reference) - run.task.measure(before, reference)
    return float(change.mean()) / run.scale
