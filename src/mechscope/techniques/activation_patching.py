"""Activation patching: copy an activation from one run into another, and measure how much of the behaviour follows.

Source: Vig et al. 2020 (causal mediation); Meng et al. 2022 (causal tracing); Heimersheim and Nanda 2024
(interpretation).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mechscope.arguments import checked_arguments
from mechscope.model.grouped_heads import query_heads_in_words
from mechscope.model.layer_checks import check_has_layers
from mechscope.model.names import get_act_name
from mechscope.results.result import Result, make_result
from mechscope.tasks.task import Task
from mechscope.techniques.sweep.task_sweep import Direction, TaskSweep, in_words

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer


@dataclass(frozen=True)
class Kind:
    """The axes of a site, and the name of its activation in titles."""

    words: str
    dims: tuple[str, ...]
    """Axes, besides the layer, along which effects can be separated."""
    usual: tuple[str, ...]
    """The default axes."""


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
"""Sites by their short hook names."""


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
    """Measure the effect of patching each activation of one kind separately.

    Args:
        model: the model.
        task: clean and corrupted prompts, answers, metric.
        site: "resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "z" (the output of a head before W_O;
            "head" for short), "q", "k", "v", "pattern" or "post" (neurons).
        by: the axes besides the layer along which activations are patched separately: any of "pos", "head", "d_mlp",
            and for a pattern "query" and "key". Along other axes everything is patched together; () patches a
            layer's whole activation. By default "pos" for the residual stream and sublayer outputs, "head" for
            activations of heads, "d_mlp" for "post". Keys and values of a model with grouped-query attention are
            patched per key/value head, of which there is one copy for all query heads that read it.
        layers: patch only these layers.
        neurons: patch only these neurons (for "post", as there are many).
        direction: "denoise" or "noise" (see `TaskSweep`).
        normalize: report shares of the whole effect, not the metric itself.
        memory: bytes that a batch may use; by default a quarter of the free memory.
        progress: show a progress bar.

    Returns:
        effects with axes ("layer", *by). If prompts are not aligned, "pos" runs over the task's named positions. Under
        grouped-query attention the axis of keys and values is "kv_head", with the label "query_heads".

    Raises:
        KeyError: for a site that does not exist, or that this model does not have.
        ValueError: for axes that the site does not have, a task that does not fit, or runs that score alike.

    >>> from mechscope import planted
    >>> program = planted.load("ioi")
    >>> effect = patch(program.model, program.task(16), "head", progress=False)
    >>> dict(effect.values.sizes)
    {'layer': 3, 'head': 1}
    """
    site = "z" if site == "head" else site
    if site not in KINDS:
        raise KeyError(f"{site!r} cannot be patched; there are {', '.join(KINDS)} (and 'head' for 'z').")
    kind = KINDS[site]
    dims = site_dims(site, by)
    unknown = [dim for dim in dims if dim not in kind.dims]
    if unknown or len(set(dims)) < len(dims):
        raise ValueError(f"effects at {site!r} can be separated by {', '.join(kind.dims)}, not by {dims}.")
    if neurons is not None and "d_mlp" not in dims:
        raise ValueError("`neurons` selects entries of the axis 'd_mlp', which `by` does not name.")
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
    named = result_dims(model, site, dims)
    shape = (len(chosen), *(len(values) for _, values in axes.values()))
    return make_result(
        effects.reshape(shape),
        ("layer", *named),
        title=f"Patching the {kind.words}, {in_words(direction)}: {task.metric.name}",
        unit=run.unit,
        provenance=run.provenance,
        coords={"layer": np.asarray(chosen)}
        | {name: np.asarray(labels) for name, (labels, _) in zip(named, axes.values(), strict=True)},
        labels=labels_of_heads(model, named),
        kind="heatmap" if len(dims) == 1 else "",
    )


def site_dims(site: str, by: Sequence[str] | None) -> tuple[str, ...]:
    """The axes along which effects at a site are separated; "kv_head" is another word for the heads of "k" and "v"."""
    dims = KINDS[site].usual if by is None else tuple(by)
    return tuple("head" if dim == "kv_head" and site in ("k", "v") else dim for dim in dims)


def result_dims(model: HookedTransformer, site: str, dims: Sequence[str]) -> tuple[str, ...]:
    """The names of these axes in results: keys and values that query heads share have key/value heads."""
    shared = site in ("k", "v") and model.cfg.n_kv_heads != model.cfg.n_heads
    return tuple("kv_head" if shared and dim == "head" else dim for dim in dims)


def labels_of_heads(
    model: HookedTransformer, dims: Sequence[str]
) -> dict[str, tuple[tuple[str, ...], list[str]]]:
    """For results per key/value head: the query heads that read each."""
    if "kv_head" not in dims:
        return {}
    cfg = model.cfg
    words = [query_heads_in_words(each, cfg.n_heads, cfg.n_kv_heads) for each in range(cfg.n_kv_heads)]
    return {"query_heads": (("kv_head",), words)}


def _layer(model: HookedTransformer, layer: int) -> int:
    if not -model.cfg.n_layers <= layer < model.cfg.n_layers:
        raise ValueError(f"there is no layer {layer}; this model has {model.cfg.n_layers}.")
    return layer % model.cfg.n_layers


def _axis(
    model: HookedTransformer, task: Task, site: str, dim: str, neurons: Iterable[int] | None
) -> tuple[list[Any], list[Any]]:
    """Labels and indices along one axis."""
    if dim in ("pos", "query", "key"):
        if task.aligned:
            return task.position_labels(), list(range(task.length))
        if not task.positions:
            raise ValueError(
                f"{task.name}: prompts have different shapes and no positions have names, so effects cannot be "
                "separated by position; give the task `positions`, or patch all positions together with by=()."
            )
        if dim == "key":
            raise ValueError("effects can be separated by key position only if all prompts are aligned.")
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
