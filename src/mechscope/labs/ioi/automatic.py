"""Attribution patching compared with patching, and automatic discovery compared with a known circuit."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from mechscope.labs.ioi.heads import Head, node_of
from mechscope.results import Result
from mechscope.tasks.task import Task
from mechscope.techniques.activation_patching import patch
from mechscope.techniques.attribution_patching import attribution_patching
from mechscope.techniques.circuits import Circuit, Discovery, auroc, discover

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer


@dataclass(frozen=True)
class Agreement:
    """Patching, and its first-order estimate."""

    patched: Result
    """Share of the effect of patching each head (layer, head)."""
    estimated: Result
    """The same from gradients."""
    heads: float
    """Pearson's r of the two over all heads."""
    early: float
    """Pearson's r over the residual stream before the first third of the layers, at the named positions."""
    mlp0_error: float
    """|estimate - patch| of the first MLP as a share of the patch; NaN for a model without MLPs."""


def compare_estimates(model: HookedTransformer, task: Task) -> Agreement:
    """Patch every head and estimate the same from gradients; likewise for the early residual stream and the first MLP,
    where gradients are known to mislead."""
    patched = patch(model, task, "z", progress=False)
    estimated = attribution_patching(model, task, "head", progress=False)
    layers = max(1, model.cfg.n_layers // 3)
    stream = patch(model, task, "resid_pre", layers=range(layers), progress=False)
    stream_estimated = attribution_patching(model, task, "resid_pre", progress=False)
    mlp0 = float("nan")
    if not model.cfg.attn_only:
        effect = float(patch(model, task, "mlp_out", (), layers=[0], progress=False).values.values[0])
        estimate = attribution_patching(model, task, "mlp_out", progress=False).values.values[0].sum()
        mlp0 = abs(float(estimate) - effect) / abs(effect) if effect else float("nan")
    return Agreement(
        patched,
        estimated,
        correlation(patched.values.values, estimated.values.values),
        correlation(stream.values.values, stream_estimated.values.values[:layers]),
        mlp0,
    )


@dataclass(frozen=True)
class Discovered:
    """An automatic method's ranking of heads."""

    method: str
    scores: Result
    """Score of each edge (source, destination)."""
    by_head: np.ndarray
    """The largest score of any edge that leaves each head [layer head]."""
    head_auc: float
    """Probability that a head of the circuit ranks above one outside it; NaN if all heads or none are in it."""
    discovery: Discovery
    """The scored edges, from which circuits can be taken."""


def discover_heads(
    model: HookedTransformer,
    task: Task,
    known: Collection[Head],
    method: str = "eap-ig",
    memory: int | None = None,
) -> Discovered:
    """Rank every head by its strongest edge, and compare the ranking with the known heads."""
    found = discover(model, task, method, memory=memory, progress=False)
    scores = found.score_matrix.abs().nan_to_num(0.0)
    cfg = model.cfg
    by_head = torch.zeros(cfg.n_layers, cfg.n_heads, dtype=scores.dtype)
    true = torch.zeros(cfg.n_layers, cfg.n_heads, dtype=torch.bool)
    for layer in range(cfg.n_layers):
        for head in range(cfg.n_heads):
            by_head[layer, head] = scores[found.graph.source_index[node_of((layer, head))]].max()
            true[layer, head] = (layer, head) in known
    area = auroc(by_head.flatten(), true.flatten())
    return Discovered(method, found.scores, by_head.numpy(), area, found)


def acdc_edge_auc(model: HookedTransformer, task: Task, true: Circuit, taus: Collection[float]) -> float:
    """Area under the curve of true against false edges that ACDC keeps, with one point per threshold.

    An edge's rank is the largest threshold at which ACDC keeps it. Source: Conmy et al. 2023, section 4.
    """
    ranks = torch.zeros(true.graph.valid.shape, dtype=torch.float64)
    for tau in sorted(taus):
        found = discover(model, task, "acdc", tau=tau, qkv=true.graph.qkv, progress=False).found
        assert found is not None
        ranks[found.kept] = tau
    valid = true.graph.valid
    return auroc(ranks[valid], true.kept[valid])


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's r of two arrays; NaN if one of them is constant."""
    one, other = one.ravel().astype(float), other.ravel().astype(float)
    if one.size < 2 or one.std() == 0 or other.std() == 0:
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])
