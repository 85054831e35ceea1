"""What a sublayer writes when each of its inputs reads a residual stream of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import torch
from einops import rearrange
from jaxtyping import Float

from mechscope.model.components import PassContext
from mechscope.techniques.circuits.graph import EdgeGraph, Stage

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

Reads = Callable[[list[int]], Float[torch.Tensor, "circuit destination batch pos d_model"]]


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
        graph: its graph with q, k and v apart.
        stage: attention or MLP of a layer.
        heads: which heads are wanted; for an MLP, [0].
        reads: gives what some destinations (columns of the graph) read.
        context: of a pass over circuits times examples rows.
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
