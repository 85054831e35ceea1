"""Patch or ablate single features of a dictionary with the sweep engine.

Inside a dictionary's context its hook points are sites like any other, so a feature at a position is patched like a
neuron. The error term, the part that the dictionary does not reconstruct, is patched as one more node: if it has much
of the effect, the features do not explain the behaviour. See Marks et al. 2024, "Sparse Feature Circuits", section 3.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Int
from torch import Tensor

from mechscope.arguments import checked_arguments
from mechscope.feature_effects.feature_effects import (
    FeatureEffects,
    check_attached,
    check_by,
    check_one_block,
    effects_result,
    features_to_try,
    positions_of,
)
from mechscope.model.token_batch import TextOrIds
from mechscope.tasks.positions import Position
from mechscope.tasks.task import Task
from mechscope.techniques.ablation import AblationValues, How
from mechscope.techniques.sweep import Edit
from mechscope.techniques.sweep.sweep import Intervention
from mechscope.techniques.sweep.task_sweep import Direction, TaskSweep, in_words

if TYPE_CHECKING:
    from mechscope.dictionaries.attach import Attached
    from mechscope.model.transformer import HookedTransformer

Value = Tensor | float


@checked_arguments
def patch_features(
    model: HookedTransformer,
    task: Task,
    attached: Attached,
    features: Sequence[int] | None = None,
    by: Sequence[str] = ("feature",),
    *,
    direction: Direction = "denoise",
    normalize: bool = True,
    memory: int | None = None,
    progress: bool = True,
) -> FeatureEffects:
    """Measure the effect of giving each feature separately its value in the other run.

    Args:
        attached: from `with dictionary.attached(model, hook_name) as attached:`; call inside the block.
        features: only these features; None for all that differ between the two runs.
        by: ("feature",) patches a feature at all positions together, ("pos", "feature") at each position separately.
        direction: "denoise" puts clean values into the corrupted run, "noise" corrupted ones into the clean run.
        normalize: report shares of the whole effect of changing the prompt; otherwise changes of the metric.
        memory: bytes that a batch may use.
        progress: show a progress bar.

    Raises:
        KeyError: outside the dictionary's context.
        ValueError: for features or axes that do not exist, a task that does not fit, or runs that score alike.
    """
    dims = _check(model, attached, by)
    run = TaskSweep(model, task, direction, normalize=normalize, memory=memory, progress=progress)
    points = _points(attached)
    run.sweep.prepare(points, late=True)
    run.source.require(points)
    title = f"Patching features at {attached.reads}, {in_words(direction)}: {task.metric.name}"
    values = [{point: run.source[point] for point in points}]
    return _effects(run, attached, values, features, dims, title)


@checked_arguments
def ablate_features(
    model: HookedTransformer,
    task: Task,
    attached: Attached,
    how: How = "zero",
    features: Sequence[int] | None = None,
    by: Sequence[str] = ("feature",),
    *,
    reference: Int[Tensor, "prompt pos"] | TextOrIds | None = None,
    draws: int = 10,
    seed: int = 0,
    normalize: bool = True,
    memory: int | None = None,
    progress: bool = True,
) -> FeatureEffects:
    """Measure the effect of ablating each feature separately, on the clean prompts.

    Args:
        how: "zero", which for a feature means inactive; "mean", "resample" or "template_mean" (see `AblationValues`).
        features: only these features; None for all that differ from their replacement anywhere, which with "mean" may
            be many.
        reference: prompts from which means and resampled values are taken; None for the task's corrupted prompts.
        draws: how many times to resample; the effect is the mean over draws.
        seed: seed of the draws.

    Other arguments and errors are those of `patch_features`. Normalised effects are (ablated - clean) / (corrupted -
    clean).
    """
    dims = _check(model, attached, by)
    stand_ins = AblationValues(model, task, how, reference, draws, seed)
    points = _points(attached)
    stand_ins.require(points)
    run = TaskSweep(
        model,
        task,
        "noise",
        normalize=normalize,
        memory=memory,
        progress=progress,
        source=stand_ins.run if stand_ins.own else None,
    )
    run.sweep.prepare(points, late=True)
    values = [{point: stand_ins.value(point, picks) for point in points} for picks in stand_ins.picks]
    title = f"Ablating features at {attached.reads} ({how.replace('_', ' ')}): {task.metric.name}"
    return _effects(run, attached, values, features, dims, title, seed if how == "resample" else None)


def _check(model: HookedTransformer, attached: Attached, by: Sequence[str]) -> tuple[str, ...]:
    check_attached(model, attached)
    check_one_block(attached)
    return check_by(by)


def _points(attached: Attached) -> list[str]:
    return [attached.features, attached.error] if attached.error_term else [attached.features]


def _effects(
    run: TaskSweep,
    attached: Attached,
    draws: Sequence[Mapping[str, Value]],
    features: Sequence[int] | None,
    dims: tuple[str, ...],
    title: str,
    seed: int | None = None,
) -> FeatureEffects:
    """The effects of replacing each feature, the error term, and all of them, averaged over draws."""
    base = run.sweep.cache
    places = positions_of(run.task, dims)
    differs = [base[attached.features] != values[attached.features] for values in draws]
    chosen = features_to_try(torch.stack(differs).any(0), features, attached.dictionary.cfg.d_sae)
    shape = (1 if places is None else len(places), len(chosen))
    found: list[Tensor] = []
    errors: list[Tensor] = []
    wholes: list[float] = []
    for values, different in zip(draws, differs, strict=True):
        edits = _edits(attached.features, values[attached.features], different, chosen, places)
        whole = [Edit(point, value) for point, value in values.items()]
        alone: list[Edit] = []
        if attached.error_term:
            spots = [None] if places is None else [place.pos for place in places]
            alone = [Edit(attached.error, values[attached.error], pos=pos) for pos in spots]
        measured = _change(run, [whole, *alone, *(edit for _, edit in edits)])
        wholes.append(float(measured[0]))
        errors.append(measured[1 : 1 + len(alone)])
        # Edits that are not tried would change nothing, because their value is the same in both runs.
        effects = torch.zeros(shape[0] * shape[1])
        effects[[place for place, _ in edits]] = measured[1 + len(alone) :].to(effects)
        found.append(effects.view(shape))
    mean = torch.stack(found).mean(0)
    error = torch.stack(errors).mean(0) if attached.error_term else None
    if places is None:
        mean, error = mean[0], None if error is None else error[0]
    made = run.unit, run.provenance if seed is None else dataclasses.replace(run.provenance, seed=seed)
    return FeatureEffects(
        effects_result(mean, dims, places, chosen, title, *made),
        None if error is None else effects_result(error, dims, places, None, f"{title}, error term", *made),
        sum(wholes) / len(wholes),
    )


def _change(run: TaskSweep, interventions: Sequence[Intervention]) -> Tensor:
    """Effects that are 0 if nothing changes, so that they can be summed."""
    effects = run.effects(interventions, "features")
    return effects if run.normalize else effects - run.base


def _edits(
    hook: str, value: Value, differs: Tensor, features: Sequence[int], places: list[Position] | None
) -> list[tuple[int, Edit]]:
    """An edit for each feature and position at which it changes something, with its index in the flat result."""
    edits: list[tuple[int, Edit]] = []
    some = differs[..., list(features)]
    if places is None:
        for number, (feature, where) in enumerate(zip(features, some.any(0).T, strict=True)):
            positions = tuple(int(pos) for pos in where.nonzero()[:, 0])
            if positions:
                # Only positions at which it differs, so that earlier ones are not recomputed.
                edits.append((number, Edit(hook, value, pos=positions, index=feature)))
        return edits
    for row, place in enumerate(places):
        here = place.take(some).any(0)
        for number, feature in enumerate(features):
            if bool(here[number]):
                edits.append((row * len(features) + number, Edit(hook, value, pos=place.pos, index=feature)))
    return edits
