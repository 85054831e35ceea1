"""Ablation: remove parts of a model, and measure how much of the behaviour is lost.

The replacement decides what is asked. Zero removes a part completely, but zero may be an unusual input to later
layers. A mean removes what a part says about this prompt and keeps what it says on every prompt. The activation on
another prompt also keeps the usual variance. Sources: Wang et al. 2022 (section 3, mean ablation), Chan et al. 2022
(resampling), Zhang and Nanda 2024 (how much the choice matters).

How it misleads. Other parts may take over (backup heads), so a part that is used may cost nothing to lose;
`knock_out` removes sets together. A loss shows that a part is needed, not that it carries the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Int

from mechscope.arguments import checked_arguments
from mechscope.model.layer_checks import check_has_layers
from mechscope.model.names import get_act_name
from mechscope.model.token_batch import TextOrIds
from mechscope.results import Provenance, Result, make_result
from mechscope.tasks.positions import Position, each_position, named_positions
from mechscope.tasks.task import Task
from mechscope.techniques._ablation_values import AblationValues, How
from mechscope.techniques._node_names import NodeName, all_heads, all_mlps, parse_node
from mechscope.techniques.sweep import Edit
from mechscope.techniques.sweep.task_sweep import TaskSweep

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

__all__ = ["AblationValues", "How", "ablation", "knock_out"]

GROUPS = ("heads", "mlps", "neurons", "positions")
Spot = tuple[str, dict[str, Any]]
"""A hook point, and the part of its activation to ablate."""


@checked_arguments
def ablation(
    model: HookedTransformer,
    task: Task,
    components: str | Sequence[str] = "heads",
    how: How = "mean",
    *,
    positions: Sequence[str | int] | str | int | None = None,
    layers: Iterable[int] | None = None,
    reference: Int[torch.Tensor, "prompt pos"] | TextOrIds | None = None,
    draws: int = 10,
    keep_draws: bool = False,
    seed: int = 0,
    normalize: bool = True,
    memory: int | None = None,
    progress: bool = True,
) -> Result:
    """Measure the effect of ablating each part separately, on the clean prompts.

    Args:
        components: "heads" (layer, head), "mlps" (layer), "neurons" (layer, d_mlp), "positions" (the residual
            stream before each layer at each position: layer, pos), or names such as "a1.h3", "m0", "m0.n7",
            "input" (component).
        how: "zero", "mean", "resample" or "template_mean" (see `AblationValues`).
        positions: where to ablate: numbers, or names of the task's positions; None for all positions.
        layers: ablate only in these layers.
        reference: prompts (text, or tokens [prompt pos]) from which means and resampled values are taken; by default
            the task's corrupted prompts.
        draws: how many times to resample; the effect is the mean over draws.
        keep_draws: return the effect of each draw along a first axis, "draw".
        seed: seed of the draws.
        normalize: report (ablated - clean) / (corrupted - clean): 0 changes nothing, 1 is as bad as the corrupted
            prompts. Otherwise report the metric of the ablated model, in its unit.
        memory: bytes that a batch may use; by default a quarter of the free memory.
        progress: show a progress bar.

    Returns:
        effects with the axes given for `components`, after "draw" if `keep_draws` is set.

    Raises:
        KeyError: for names or positions that do not exist.
        ValueError: for an empty list, an unknown `how`, or a task that does not fit.

    >>> import mechscope as ms
    >>> model = ms.load_model("induction-2l")
    >>> task = ms.tasks.repeated_random_tokens(model, n=8, bos=128)
    >>> ablation(model, task, "heads", progress=False).values.sizes["layer"]
    2
    """
    places = None if positions is None else named_positions(task, positions)
    dims, shape, coords, spots = _parts(model, task, components, layers, places)
    effects, run, values = _effects(
        model,
        task,
        [[spot] for spot in spots],
        how,
        places,
        reference,
        draws,
        seed,
        normalize,
        memory,
        progress,
    )
    what = components if isinstance(components, str) else "parts"
    title = f"{_words(how, values)} ablation of {what}{_where(places)}: {task.metric.name}"
    return _result(effects, dims, shape, coords, title, run, how, seed, keep_draws)


@checked_arguments
def knock_out(
    model: HookedTransformer,
    task: Task,
    components: Sequence[str],
    how: How = "mean",
    *,
    positions: Sequence[str | int] | str | int | None = None,
    reference: Int[torch.Tensor, "prompt pos"] | TextOrIds | None = None,
    draws: int = 10,
    keep_draws: bool = False,
    seed: int = 0,
    normalize: bool = True,
    memory: int | None = None,
    progress: bool = True,
) -> Result:
    """Ablate parts one after another: each alone, and together with all parts named before it.

    If the two series differ, parts replace one another or depend on one another. The last entry of "together" is
    the effect of the whole set. Arguments are those of `ablation`.

    Returns:
        dims ("series", "component"), with the series "alone" and "together".
    """
    if isinstance(components, str):
        raise ValueError("knock_out takes a list of names, such as ['a0.h1', 'm2'], not a single string.")
    places = None if positions is None else named_positions(task, positions)
    _, _, coords, spots = _parts(model, task, components, None, places)
    alone: list[list[Spot]] = [[spot] for spot in spots]
    together = [spots[: last + 1] for last in range(len(spots))]
    effects, run, values = _effects(
        model, task, alone + together, how, places, reference, draws, seed, normalize, memory, progress
    )
    title = f"{_words(how, values)} ablation, alone and together{_where(places)}: {task.metric.name}"
    coords["series"] = np.array(["alone", "together"])
    shape = (2, len(spots))
    return _result(effects, ("series", "component"), shape, coords, title, run, how, seed, keep_draws, "bars")


def _parts(
    model: HookedTransformer,
    task: Task,
    components: str | Sequence[str],
    layers: Iterable[int] | None,
    places: list[Position] | None,
) -> tuple[tuple[str, ...], tuple[int, ...], dict[str, Any], list[Spot]]:
    """Axes, shape and coordinates of the result, and the spot that each entry ablates."""
    if not isinstance(components, str):
        if layers is not None:
            raise ValueError(
                "`layers` selects heads, MLPs, neurons or positions by layer; names include their layer already."
            )
        names = list(components)
        if not names:
            raise ValueError("the list of components is empty; name at least one.")
        if len(set(names)) < len(names):
            raise ValueError(f"a component is named twice in {names}.")
        spots = [_spot(parse_node(model, name)) for name in names]
        return ("component",), (len(names),), {"component": np.array(names)}, spots
    check_has_layers(model, "ablation")
    if components not in GROUPS:
        raise KeyError(
            f"components must be one of {', '.join(GROUPS)}, or a list of names, not {components!r}."
        )
    chosen = list(range(model.cfg.n_layers)) if layers is None else [int(layer) for layer in layers]
    if not chosen or min(chosen) < 0 or max(chosen) >= model.cfg.n_layers:
        raise ValueError(
            f"layers are numbered 0 to {model.cfg.n_layers - 1}; name at least one, not {chosen}."
        )
    coords: dict[str, Any] = {"layer": np.array(chosen)}
    if components == "heads":
        nodes = [node for node in all_heads(model) if node.layer in chosen]
        nodes.sort(key=lambda node: chosen.index(node.layer))
        return ("layer", "head"), (len(chosen), model.cfg.n_heads), coords, [_spot(node) for node in nodes]
    if components == "positions":
        if places is not None:
            raise ValueError("components='positions' ablates every position; leave `positions` out.")
        each = each_position(task)
        coords["pos"] = np.array([place.label for place in each])
        spots = [(get_act_name("resid_pre", layer), {"pos": place.pos}) for layer in chosen for place in each]
        return ("layer", "pos"), (len(chosen), len(each)), coords, spots
    all_mlps(model)
    if components == "mlps":
        return ("layer",), (len(chosen),), coords, [_spot(NodeName("mlp", layer)) for layer in chosen]
    d_mlp = model.cfg.d_mlp or 0
    spots = [_spot(NodeName("neuron", layer, index)) for layer in chosen for index in range(d_mlp)]
    return ("layer", "d_mlp"), (len(chosen), d_mlp), coords, spots


def _spot(node: NodeName) -> Spot:
    if node.kind == "head" and not node.reads:
        return get_act_name("z", node.layer), {"head": node.index}
    if node.kind == "mlp":
        return get_act_name("mlp_out", node.layer), {}
    if node.kind == "neuron":
        return get_act_name("post", node.layer), {"index": node.index}
    if node.kind == "input":
        return "hook_embed", {}
    raise ValueError(f"{node} cannot be ablated: name a head, an MLP, a neuron, or 'input'.")


def _effects(
    model: HookedTransformer,
    task: Task,
    sets: Sequence[Sequence[Spot]],
    how: How,
    places: list[Position] | None,
    reference: torch.Tensor | TextOrIds | None,
    draws: int,
    seed: int,
    normalize: bool,
    memory: int | None,
    progress: bool,
) -> tuple[torch.Tensor, TaskSweep, AblationValues]:
    """The effect of ablating each set of spots [draw set]."""
    values = AblationValues(model, task, how, reference, draws, seed)
    hooks = {hook for spots in sets for hook, _ in spots}
    positions_too = "hook_embed" in hooks and model.cfg.positional_embedding_type == "standard"
    values.require([*hooks, *(["hook_pos_embed"] if positions_too else [])])
    run = TaskSweep(
        model,
        task,
        "noise",
        normalize=normalize,
        memory=memory,
        progress=progress,
        source=values.run if values.own else None,
    )
    found: list[torch.Tensor] = []
    for picks in values.picks:
        by_hook = {hook: values.value(hook, picks) for hook in hooks}
        if positions_too:
            by_hook["hook_pos_embed"] = values.value("hook_pos_embed", picks)
        interventions = [
            [edit for spot in spots for edit in _edits(spot, by_hook, places, positions_too)]
            for spots in sets
        ]
        found.append(run.effects(interventions, f"{how} ablation"))
    return torch.stack(found), run, values


def _edits(
    spot: Spot, values: dict[str, torch.Tensor | float], places: list[Position] | None, positions_too: bool
) -> Iterable[Edit]:
    hook, where = spot
    hooks = [hook, "hook_pos_embed"] if hook == "hook_embed" and positions_too else [hook]
    for each in hooks:
        if places is None:
            yield Edit(each, values[each], **where)
        else:
            for place in places:
                at: dict[str, Any] = {**where, "pos": place.pos}
                yield Edit(each, values[each], **at)


def _result(
    effects: torch.Tensor,
    dims: tuple[str, ...],
    shape: tuple[int, ...],
    coords: dict[str, Any],
    title: str,
    run: TaskSweep,
    how: How,
    seed: int,
    keep_draws: bool,
    kind: str = "",
) -> Result:
    made_by = run.provenance
    if how == "resample":
        made_by = Provenance(made_by.model, made_by.task, seed)
    values = effects.reshape(-1, *shape)
    kept = keep_draws and how == "resample"
    return make_result(
        values if kept else values.mean(0),
        ("draw", *dims) if kept else dims,
        title,
        run.unit,
        made_by,
        coords,
        kind if not kept else "",
    )


def _words(how: How, values: AblationValues) -> str:
    if how == "zero":
        return "Zero"
    kinds = {"mean": "Mean", "resample": "Resampling", "template_mean": "Mean by template and position"}
    return f"{kinds[how]} (over {values.words})"


def _where(places: list[Position] | None) -> str:
    return "" if places is None else " at " + ", ".join(place.label for place in places)
