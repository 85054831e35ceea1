"""What the nodes of the edge graph write to the residual stream.

`plain_run` takes one ordinary forward pass apart; `write` runs one sublayer whose inputs each read a residual
stream of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from einops import rearrange
from jaxtyping import Float

from mechscope.model.components import PassContext
from mechscope.techniques.circuits.graph import EdgeGraph, Stage

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

Contributions = Float[torch.Tensor, "source batch pos d_model"]
Reads = Callable[[list[int]], Float[torch.Tensor, "circuit destination batch pos d_model"]]


@dataclass(frozen=True)
class Run:
    """What each node wrote and each stage read in one forward pass."""

    sources: Contributions
    """What each source wrote."""
    read: Float[torch.Tensor, "stage batch pos d_model"]
    """The residual stream that each stage read."""


def plain_run(
    model: HookedTransformer,
    graph: EdgeGraph,
    tokens: torch.Tensor,
    attention_mask: torch.Tensor | None,
) -> Run:
    """Run the model once and record what every node wrote and every stage read."""
    with torch.no_grad():
        residual, context = model.start_pass(tokens, attention_mask)
        sources = residual.new_empty(len(graph.sources), *residual.shape)
        read = residual.new_empty(len(graph.stages), *residual.shape)
        sources[0] = residual
        before_attention = residual
        for number, stage in enumerate(graph.stages):
            if stage.kind == "attn":
                block = model.blocks[stage.layer]
                read[number] = before_attention = residual
                inputs = block.attention_inputs(residual, context.shortformer_pos_embed)
                written = block.head_contributions(block.attn.head_outputs(*inputs, context))
                sources[stage.sources.start : stage.sources.stop] = written
                residual = residual + written.sum(0) + block.attention_constant
            elif stage.kind == "mlp":
                read[number] = before_attention if graph.parallel else residual
                out = model.blocks[stage.layer].mlp_output(read[number])
                sources[stage.sources.start] = out
                residual = residual + out
            else:
                read[number] = residual
    return Run(sources, read)


def write(
    model: HookedTransformer,
    graph: EdgeGraph,
    stage: Stage,
    heads: list[int],
    reads: Reads,
    context: PassContext,
) -> Float[torch.Tensor, "head circuit_batch pos d_model"]:
    """What some heads of an attention stage, or an MLP, add to the residual stream.

    Args:
        model: the model.
        graph: its graph with separate q, k and v inputs.
        stage: attention or MLP of a layer.
        heads: which heads to compute; for an MLP, [0].
        reads: from the columns of some destinations in the graph to the streams that they read.
        context: of a pass with one row for each circuit and example.
    """
    block, start = model.blocks[stage.layer], stage.destinations.start
    if stage.kind == "mlp":
        return block.mlp_output(reads([start]).flatten(0, 2))[None]
    some = heads if block.can_run_some_heads and len(heads) < graph.n_heads else None
    inputs: list[torch.Tensor] = []
    counts: tuple[tuple[Literal["q", "k", "v"], int], ...] = (
        ("q", graph.n_heads),
        ("k", graph.n_kv_heads),
        ("v", graph.n_kv_heads),
    )
    for which, count in counts:
        read = reads([start + head for head in (range(count) if some is None else some)])
        by_head = rearrange(read, "circuit head batch pos d_model -> (circuit batch) pos head d_model")
        inputs.append(block.attention_input(which, by_head, context.shortformer_pos_embed))
        start += count
    z = block.attn.head_outputs(inputs[0], inputs[1], inputs[2], context, heads=some)
    written = block.head_contributions(z, some)
    return written[heads] if some is None else written
