"""What a sublayer writes when each of its inputs reads a residual stream of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from einops import rearrange
from jaxtyping import Float

from mechscope.model.components import TransformerBlock
from mechscope.model.components.attention import project
from mechscope.model.components.block import _add_positions
from mechscope.techniques.circuits.contributions import Surroundings, head_contributions
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
    around: Surroundings,
) -> Float[torch.Tensor, "head circuit_batch pos d_model"]:
    """What some heads of an attention stage, or an MLP, add to the residual stream.

    Args:
        model: the model.
        graph: its graph with q, k and v apart.
        stage: attention or MLP of a layer.
        heads: which heads are wanted; for an MLP, [0].
        reads: gives what some destinations (columns of the graph) read.
        around: what the pass needs beside it, for circuits times examples rows.
    """
    block, start = model.blocks[stage.layer], stage.destinations.start
    if stage.kind == "mlp":
        return block.mlp_output(reads([start]).flatten(0, 2))[None]
    attn = block.attn
    some = heads if _heads_are_apart(block) else list(range(graph.n_heads))
    inputs: list[torch.Tensor] = []
    for which, count in (("q", graph.n_heads), ("k", graph.n_kv_heads), ("v", graph.n_kv_heads)):
        chosen = some if count == graph.n_heads else list(range(count))
        read = reads([start + head for head in chosen])
        read = block.ln1(
            rearrange(read, "circuit head batch pos d_model -> (circuit batch) pos head d_model")
        )
        inputs.append(read if which == "v" else _add_positions(read, around.shortformer))
        start += count
    if len(some) == graph.n_heads:
        q, k, v = attn.queries_keys_values(inputs[0], inputs[1], inputs[2], around.positions)
        return head_contributions(block, attn.attend(q, k, v, around.mask))[heads]
    q, k, v = (
        project(read, attn._stored(f"W_{name}")[some], attn._stored(f"b_{name}")[some])
        for name, read in zip("QKV", inputs, strict=True)
    )
    q = attn._turn_query(attn._query(q), around.positions, 0)
    k = attn._turn_key(attn._key(k), around.positions, 0)
    return head_contributions(block, attn.attend(q, k, v, around.mask), some)


def heads_are_coupled(block: TransformerBlock) -> bool:
    """Whether a norm over all heads lets each change what the others write.

    In such a model a head has an effect even where nothing reads what it writes.
    """
    return block.ln1_post is not None or block.cfg.qk_norm == "full"


def _heads_are_apart(block: TransformerBlock) -> bool:
    """Whether some heads can be computed without the others."""
    grouped, cfg = block.attn.grouped, block.cfg
    return not (grouped or heads_are_coupled(block) or cfg.positional_embedding_type == "alibi")
