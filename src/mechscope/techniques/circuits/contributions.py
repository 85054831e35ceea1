"""What each node of the edge graph writes to the residual stream in one run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float

from mechscope.techniques.circuits.graph import EdgeGraph

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

Contributions = Float[torch.Tensor, "source batch pos d_model"]


@dataclass(frozen=True)
class Run:
    """One forward pass, taken apart."""

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
    """A forward pass with what every node wrote and every stage read."""
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
