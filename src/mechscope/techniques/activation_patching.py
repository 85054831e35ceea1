"""Activation patching: put one activation of one run into the other, and see how much of the behaviour moves.

Source: Vig et al. 2020 (causal mediation); Meng et al. 2022 (causal tracing); Heimersheim & Nanda 2024
for what to read from it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mechscope.arguments import checked_arguments
from mechscope.model.layer_checks import check_has_layers
from mechscope.model.names import get_act_name
from mechscope.results.result import Result, make_result
from mechscope.tasks.task import Task
from mechscope.techniques.sweep.task_sweep import Direction, TaskSweep, in_words

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer


@dataclass(frozen=True)
class Kind:
    """What can be patched at a site, and what its activation is called in titles."""

    words: str
    dims: tuple[str, ...]
    """What may be told apart, beside the layer."""
    usual: tuple[str, ...]
    """What is told apart unless asked otherwise."""


_STREAM = (("pos",), ("pos",))
_HEAD = (("pos", "head"), ("head",))
KINDS: dict[str, Kind] = {
    "resid_pre": Kind("residual stream before the layer", *_STREAM),
    "resid_mid": Kind("residual stream between attention and MLP", *_STREAM),
    "resid_post": Kind("residual stream after the layer", *_STREAM),
    "attn_out": Kind("attention output", *_STREAM),
    "mlp_out": Kind("MLP output", *_STREAM),
    "z": Kind("head output", *_HEAD),
    "q": Kind("queries", *_HEAD),
    "k": Kind("keys", *_HEAD),
    "v": Kind("values", *_HEAD),
    "pattern": Kind("attention pattern", ("head", "query", "key"), ("head",)),
    "post": Kind("neurons", ("pos", "d_mlp"), ("d_mlp",)),
}
"""Every site by its short hook name."""


@checked_arguments
def patch(
    model: HookedTransformer,
    task: Task,
    site: str = "resid_pre",
    by: Sequence[str] | None = None,
    *,
    layers: Iterable[int] | None = None,
    neurons: Iterable[int] | None = None,
    direction: Direction = "denoise",
    normalize: bool = True,
    memory: int | None = None,
    progress: bool = True,
) -> Result:
    """The effect of patching each activation of one kind, one after another.

    Args:
        model: the model.
        task: clean and corrupted prompts, answers, metric.
        site: "resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "z" (what a head takes from
            the values; "head" for short), "q", "k", "v", "pattern" or "post" (neurons).
        by: what is told apart beside the layer: any of "pos", "head", "d_mlp", and for a pattern "query" and
            "key". What is not named is patched together; () patches a layer's whole activation.
            By default positions for the residual stream and its parts, heads for what heads have, neurons
            for "post".
        layers: some layers only.
        neurons: some neurons only (for "post", where all of every layer are many).
        direction: "denoise" or "noise" (see `TaskSweep`).
        normalize: give shares of the whole effect, not the metric itself.
        memory: bytes that a batch may take; by default a quarter of what is free.
        progress: show a progress bar.

    Returns:
        dims ("layer", *by). Where prompts are not aligned, "pos" runs over the task's named positions.

    Raises:
        KeyError: for a site that does not exist, or that this model does not have.
        ValueError: for dims that the site does not have, a task that does not fit, or runs that score alike.
    """
    site = "z" if site == "head" else site
    if site not in KINDS:
        raise KeyError(f"{site!r} cannot be patched; there are {', '.join(KINDS)} (and 'head' for 'z').")
    kind = KINDS[site]
    dims = tuple(kind.usual if by is None else by)
    unknown = [dim for dim in dims if dim not in kind.dims]
    if unknown or len(set(dims)) < len(dims):
        raise ValueError(f"{site!r} can be told apart by {', '.join(kind.dims)}, not by {dims}.")
    if neurons is not None and "d_mlp" not in dims:
        raise ValueError("`neurons` chooses entries of the dim 'd_mlp', which `by` does not name.")
    check_has_layers(model, "activation patching")
    chosen = list(range(model.cfg.n_layers)) if layers is None else [_layer(model, each) for each in layers]
    if not chosen:
        raise ValueError("there are no layers to patch.")
    model.match_hook_names([get_act_name(site, layer) for layer in chosen])
    run = TaskSweep(model, task, direction, normalize=normalize, memory=memory, progress=progress)
    run.source.require([get_act_name(site, layer) for layer in chosen])
    axes = {dim: _axis(model, task, site, dim, neurons) for dim in dims}
    places = list(itertools.product(*(values for _, values in axes.values())))
    edits = [
        run.edit(get_act_name(site, layer), **_where(dims, place)) for layer in chosen for place in places
    ]
    effects = run.effects(edits, f"patching {kind.words}")
    shape = (len(chosen), *(len(values) for _, values in axes.values()))
    return make_result(
        effects.reshape(shape),
        ("layer", *dims),
        title=f"Patching the {kind.words}, {in_words(direction)}: {task.metric.name}",
        unit=run.unit,
        provenance=run.provenance,
        coords={"layer": np.asarray(chosen)} | {dim: np.asarray(labels) for dim, (labels, _) in axes.items()},
        kind="heatmap" if len(dims) == 1 else "",
    )


def _layer(model: HookedTransformer, layer: int) -> int:
    if not -model.cfg.n_layers <= layer < model.cfg.n_layers:
        raise ValueError(f"there is no layer {layer}; this model has {model.cfg.n_layers}.")
    return layer % model.cfg.n_layers


def _axis(
    model: HookedTransformer, task: Task, site: str, dim: str, neurons: Iterable[int] | None
) -> tuple[list[Any], list[Any]]:
    """Labels and indices of what is told apart along one dim."""
    if dim in ("pos", "query", "key"):
        if task.aligned:
            return task.position_labels(), list(range(task.length))
        if not task.positions:
            raise ValueError(
                f"{task.name}: prompts are of different shapes and no positions have names, so effects cannot be "
                "told apart by position; give the task `positions`, or patch all positions together with by=()."
            )
        if dim == "key":
            raise ValueError("key positions can be told apart only where all prompts are aligned.")
        return list(task.positions), list(task.positions.values())
    if dim == "head":
        heads = model.cfg.n_kv_heads if site in ("k", "v") else model.cfg.n_heads
        return list(range(heads)), list(range(heads))
    d_mlp = model.cfg.d_mlp or 0
    some = list(range(d_mlp)) if neurons is None else [int(neuron) for neuron in neurons]
    if not some or min(some) < 0 or max(some) >= d_mlp:
        raise ValueError(f"neurons are numbered 0 to {d_mlp - 1}; name at least one.")
    return some, some


def _where(dims: Sequence[str], place: Sequence[Any]) -> dict[str, Any]:
    names = {"pos": "pos", "query": "pos", "key": "key", "head": "head", "d_mlp": "index"}
    return {
        names[dim]: value if isinstance(value, torch.Tensor) else int(value)
        for dim, value in zip(dims, place, strict=True)
    }
