"""The gradient of a metric with respect to the input of every destination, sublayer by sublayer.

Each query, key and value input has a gradient as large as the residual stream, and there are hundreds of them. So the
backward pass keeps only the small gradients at queries, keys and values; those of one layer at a time are mapped back
through W_Q, W_K, W_V and the norm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float

from mechscope.model.components import PassContext
from mechscope.model.gradients import gradients_on
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
    taps: list[tuple[int, torch.Tensor]] = field(default_factory=list)
    """Stage and tensor: the projections of attention, and the inputs of other stages."""


def edge_gradients(
    model: HookedTransformer,
    graph: EdgeGraph,
    residual: Residual,
    context: PassContext,
    metric: Callable[[Residual], torch.Tensor],
    first: int = 0,
    before_attention: Residual | None = None,
) -> Iterator[tuple[int, Gradient]]:
    """The gradient of a metric's sum with respect to each destination's input, for each stage from `first` on.

    Args:
        model: the model.
        graph: its graph with separate q, k and v inputs.
        residual: the stream that stage `first` reads.
        context: of the pass.
        metric: takes the last residual stream, and returns one number per example.
        first: the stage to start from.
        before_attention: in a model with parallel blocks that starts at an MLP, what that MLP reads.

    Yields:
        the stage's number, and its gradients.

    Raises:
        ValueError: for a metric without a gradient.
    """
    with gradients_on("scoring edges by their gradients"):
        start = residual.detach().clone().requires_grad_()
        run = _forward(model, graph, start, context, first, before_attention)
        values = metric(run.taps[-1][1])
        if not values.requires_grad:
            raise ValueError(
                "this metric has no gradient (it counts right and wrong answers), so it cannot score edges: use the "
                "logit difference, a probability or KL, and accuracy for evaluation; or discover with acdc."
            )
        gradients = torch.autograd.grad(values.sum(), [tensor for _, tensor in run.taps])
    by_stage: dict[int, list[torch.Tensor]] = {}
    for (number, _), gradient in zip(run.taps, gradients, strict=True):
        by_stage.setdefault(number, []).append(gradient)
    del gradients
    for number in list(by_stage):
        parts, stage = by_stage.pop(number), graph.stages[number]
        if stage.kind == "attn":
            block = model.blocks[stage.layer]
            yield number, block.head_input_gradients(run.read[number], parts)
        else:
            yield number, parts[0][None]


def _forward(
    model: HookedTransformer,
    graph: EdgeGraph,
    residual: torch.Tensor,
    context: PassContext,
    first: int,
    before_attention: torch.Tensor | None,
) -> _Pass:
    run = _Pass()
    before = residual if before_attention is None else before_attention
    for number in range(first, len(graph.stages)):
        stage = graph.stages[number]
        if stage.kind == "attn":
            block = model.blocks[stage.layer]
            run.read[number] = residual.detach()
            before = residual
            inputs = block.attention_inputs(residual, context.shortformer_pos_embed)
            projections = block.attn.projections(*inputs)
            run.taps += [(number, projection) for projection in projections]
            z = block.attn.head_outputs_of(projections, context)
            residual = residual + block.attention_output(z)
            continue
        read = before if stage.kind == "mlp" and graph.parallel else residual
        # An alias that only this sublayer reads, so that its gradient is the one for this sublayer.
        if not read.requires_grad:  # the MLP of a parallel block, which does not depend on the start
            read = read.detach().clone().requires_grad_()
        tap = read.view_as(read)
        run.taps.append((number, tap))
        if stage.kind == "mlp":
            residual = residual + model.blocks[stage.layer].mlp_output(tap)
    return run
