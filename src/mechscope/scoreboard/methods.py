"""The methods on the scoreboard: each scores every edge, or every head and MLP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

from mechscope.arguments import brief_repr
from mechscope.tasks.task import Task
from mechscope.techniques.ablation import ablation
from mechscope.techniques.activation_patching import patch
from mechscope.techniques.attribution_patching import attribution_patching
from mechscope.techniques.circuits import EdgeGraph, acdc
from mechscope.techniques.circuits.eap import edge_attribution_patching
from mechscope.techniques.circuits.eap_ig import eap_ig_activations, eap_ig_inputs
from mechscope.techniques.circuits.masked_run import MaskedRun
from mechscope.techniques.direct_logit_attribution import direct_logit_attribution

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer


@dataclass(frozen=True)
class Scored:
    """A method's score of every edge, or of every head and MLP."""

    edges: torch.Tensor | None = None
    """[source destination], NaN where there is no edge."""
    nodes: dict[str, float] | None = None
    """By name; None for a method that scores edges, whose nodes are then ranked by their best outgoing edge."""

    __repr__ = brief_repr


@dataclass(frozen=True)
class Method:
    """One method of the scoreboard."""

    words: str
    """Its name in tables."""
    family: Literal["discovery", "patching", "ablation", "attribution", "chance"]
    method: Callable[[HookedTransformer, Task, int], Scored]
    """Takes a model, a task and a seed, and returns scores."""


def _edge_patching(model: HookedTransformer, task: Task, seed: int) -> Scored:
    """Patch each edge separately: the effect that the other methods for edges estimate."""
    run = MaskedRun(model, task)
    valid = run.graph.valid
    places = valid.nonzero()
    circuits = valid.expand(len(places), *valid.shape).clone()
    circuits[torch.arange(len(places)), places[:, 0], places[:, 1]] = False
    values = torch.cat([run.measure(some).mean(1) for some in circuits.split(256)])
    scores = torch.full(valid.shape, torch.nan)
    scores[places[:, 0], places[:, 1]] = run.baselines.clean.mean() - values
    return Scored(edges=scores)


def _acdc(model: HookedTransformer, task: Task, seed: int) -> Scored:
    tau = 0.01 * abs(task.baselines(model).check_difference())
    found = acdc(model, task, tau, progress=False)
    # Edges that were kept rank above removed ones; within each group the measured effect decides.
    effects = found.effects.abs()
    highest = effects.nan_to_num(0.0).max() + 1
    return Scored(edges=effects + highest * found.kept)


def _estimator(score: Callable[..., torch.Tensor], **options: Any) -> Callable[..., Scored]:
    def method(model: HookedTransformer, task: Task, seed: int) -> Scored:
        return Scored(edges=score(model, task, progress=False, **options))

    return method


def _nodes(model: HookedTransformer, heads: Callable[[], Any], mlps: Callable[[], Any]) -> Scored:
    """Scores of heads [layer head] and of MLPs [layer], by name."""
    by_head = heads().values.values
    nodes = {
        f"a{layer}.h{head}": float(by_head[layer, head])
        for layer in range(model.cfg.n_layers)
        for head in range(model.cfg.n_heads)
    }
    if not model.cfg.attn_only:
        by_layer = mlps().values.values
        nodes |= {f"m{layer}": float(by_layer[layer]) for layer in range(model.cfg.n_layers)}
    return Scored(nodes=nodes)


def _patching(direction: Literal["denoise", "noise"]) -> Callable[..., Scored]:
    def method(model: HookedTransformer, task: Task, seed: int) -> Scored:
        options: dict[str, Any] = {"direction": direction, "progress": False}
        return _nodes(
            model,
            lambda: patch(model, task, "z", **options),
            lambda: patch(model, task, "mlp_out", by=(), **options),
        )

    return method


def _ablation(how: Literal["zero", "mean", "resample"]) -> Callable[..., Scored]:
    def method(model: HookedTransformer, task: Task, seed: int) -> Scored:
        options: dict[str, Any] = {"how": how, "seed": seed, "progress": False}
        return _nodes(
            model,
            lambda: ablation(model, task, "heads", **options),
            lambda: ablation(model, task, "mlps", **options),
        )

    return method


def _attribution(**options: Any) -> Callable[..., Scored]:
    def method(model: HookedTransformer, task: Task, seed: int) -> Scored:
        mlps = [] if model.cfg.attn_only else ["mlp_out"]
        by = {"head": ("head",), "mlp_out": ()}
        found = attribution_patching(
            model,
            task,
            ["head", *mlps],
            {site: by[site] for site in ["head", *mlps]},
            direction="noise",
            progress=False,
            **options,
        )
        return _nodes(model, lambda: found["head"], lambda: found["mlp_out"])

    return method


def _direct(model: HookedTransformer, task: Task, seed: int) -> Scored:
    found = direct_logit_attribution(model, task).contributions.values
    names = [str(name) for name in found.coords["component"].values]
    parts = [name for name in names if name in EdgeGraph.of(model).sources and name != "input"]
    return Scored(nodes={name: float(found.sel(component=name)) for name in parts})


def _chance(model: HookedTransformer, task: Task, seed: int) -> Scored:
    graph = EdgeGraph.of(model)
    scores = torch.rand(graph.valid.shape, generator=torch.Generator().manual_seed(seed))
    return Scored(edges=scores.masked_fill(~graph.valid, torch.nan))


METHODS: dict[str, Method] = {
    "edge-patching": Method("every edge patched separately", "patching", _edge_patching),
    "acdc": Method("ACDC", "discovery", _acdc),
    "eap": Method("EAP", "discovery", _estimator(edge_attribution_patching)),
    "eap-ig": Method("EAP-IG, inputs", "discovery", _estimator(eap_ig_inputs, steps=5)),
    "eap-ig-activations": Method("EAP-IG, activations", "discovery", _estimator(eap_ig_activations, steps=5)),
    "patch-denoise": Method("activation patching, clean into corrupted", "patching", _patching("denoise")),
    "patch-noise": Method("activation patching, corrupted into clean", "patching", _patching("noise")),
    "ablation-zero": Method("zero ablation", "ablation", _ablation("zero")),
    "ablation-mean": Method("mean ablation", "ablation", _ablation("mean")),
    "ablation-resample": Method("resample ablation", "ablation", _ablation("resample")),
    "attribution": Method("attribution patching", "attribution", _attribution()),
    "attribution-ig": Method("attribution patching, 5 steps", "attribution", _attribution(steps=5)),
    "attribution-drop": Method("attribution patching, GradDrop", "attribution", _attribution(grad_drop=True)),
    "direct": Method("direct logit attribution", "attribution", _direct),
    "chance": Method("random scores", "chance", _chance),
}
"""Methods by their name in code."""
