"""The gradient of a metric with respect to what every destination reads, sublayer by sublayer.

A head's query reads a copy of the residual stream of its own, so its gradient is an array as large as the
stream, and there are hundreds of such copies. Only the small gradients at queries, keys and values are kept
from the backward pass; each layer's are mapped back through W_Q, W_K, W_V and the norm when they are used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from einops import einsum, repeat
from jaxtyping import Float

from mechscope.model.gradients import gradients_on
from mechscope.techniques.circuits.contributions import Surroundings
from mechscope.techniques.circuits.graph import EdgeGraph

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

Residual = Float[torch.Tensor, "batch pos d_model"]
Gradient = Float[torch.Tensor, "destination batch pos d_model"]


@dataclass
class _Pass:
    """A forward pass with the tensors whose gradients are wanted."""

    read: dict[int, torch.Tensor] = field(default_factory=dict)
    """The residual stream at each attention stage."""
    taps: list[tuple[int, str, torch.Tensor]] = field(default_factory=list)
    """Stage, what it is, and the tensor."""


def edge_gradients(
    model: HookedTransformer,
    graph: EdgeGraph,
    residual: Residual,
    around: Surroundings,
    metric: Callable[[Residual], torch.Tensor],
    first: int = 0,
    before_attention: Residual | None = None,
) -> Iterator[tuple[int, Gradient]]:
    """For each stage from `first` on, the gradient of a metric's sum with respect to each destination's input.

    Args:
        model: the model.
        graph: its graph with q, k and v apart.
        residual: the stream that stage `first` reads.
        around: what the pass needs beside it.
        metric: from the last residual stream to one number an example.
        first: where to start.
        before_attention: in a model with parallel blocks that starts at an MLP, what that MLP reads.

    Yields:
        the stage's number, and its gradients.

    Raises:
        ValueError: for a metric without a gradient.
    """
    with gradients_on("scoring edges by their gradients"):
        start = residual.detach().clone().requires_grad_()
        run = _forward(model, graph, start, around, first, before_attention)
        values = metric(run.taps[-1][2])
        if not values.requires_grad:
            raise ValueError(
                "this metric has no gradient (it counts right and wrong), so no edge can be scored by it: use the "
                "logit difference, a probability or KL, and accuracy to evaluate; or discover by acdc."
            )
        gradients = torch.autograd.grad(values.sum(), [tensor for _, _, tensor in run.taps])
    by_stage: dict[int, dict[str, torch.Tensor]] = {}
    for (number, what, _), gradient in zip(run.taps, gradients, strict=True):
        by_stage.setdefault(number, {})[what] = gradient
    del gradients
    for number in list(by_stage):
        parts = by_stage.pop(number)
        if "whole" in parts:
            yield number, parts["whole"][None]
        else:
            yield number, _through_projections(model, graph.stages[number].layer, run.read[number], parts)


def _forward(
    model: HookedTransformer,
    graph: EdgeGraph,
    residual: torch.Tensor,
    around: Surroundings,
    first: int,
    before_attention: torch.Tensor | None,
) -> _Pass:
    run = _Pass()
    before = residual if before_attention is None else before_attention
    for number in range(first, len(graph.stages)):
        stage = graph.stages[number]
        if stage.kind == "attn":
            block, attn = model.blocks[stage.layer], model.blocks[stage.layer].attn
            run.read[number] = residual.detach()
            before = residual
            inputs = block.attention_inputs(residual, around.shortformer)
            q, k, v = (attn._project(name, read) for name, read in zip("QKV", inputs, strict=True))
            run.taps += [(number, "Q", q), (number, "K", k), (number, "V", v)]
            q = attn._turn_query(attn._query(q), around.positions, 0)
            k = attn._turn_key(attn._key(k), around.positions, 0)
            out = attn.output(attn.hook_z(attn.attend(q, k, attn.hook_v(v), around.mask)))
            residual = residual + (out if block.ln1_post is None else block.ln1_post(out))
            continue
        read = before if stage.kind == "mlp" and graph.parallel else residual
        # An alias with one user: its gradient is what flows into this sublayer alone.
        if not read.requires_grad:  # a parallel block's MLP that the start does not reach
            read = read.detach().clone().requires_grad_()
        tap = read.view_as(read)
        run.taps.append((number, "whole", tap))
        if stage.kind == "mlp":
            residual = residual + model.blocks[stage.layer].mlp_output(tap)
    return run


def _through_projections(
    model: HookedTransformer, layer: int, read: Residual, parts: dict[str, torch.Tensor]
) -> Gradient:
    """Gradients at queries, keys and values [batch pos head d_head], taken back to what each head read."""
    block = model.blocks[layer]
    mapped: list[torch.Tensor] = []
    with torch.no_grad():
        for name in "QKV":
            prefix = "_" if block.attn.grouped and name != "Q" else ""
            weight = block.attn._stored(f"{prefix}W_{name}")
            mapped.append(
                einsum(
                    parts[name],
                    weight,
                    "batch pos head d_head, head d_model d_head -> head batch pos d_model",
                )
            )
    together = torch.cat(mapped)
    with gradients_on("scoring edges by their gradients"):
        copies = repeat(
            read, "batch pos d_model -> head batch pos d_model", head=len(together)
        ).requires_grad_()
        normalized = block.ln1(copies)
        if normalized is copies:  # no norm
            return together
        return torch.autograd.grad(normalized, copies, together)[0]
