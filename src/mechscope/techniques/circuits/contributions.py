"""What each node of the edge graph writes to the residual stream in one run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from einops import einsum
from jaxtyping import Float

from mechscope.model.components import AttentionMask, TransformerBlock
from mechscope.model.components.normalization import Norm
from mechscope.model.precision import at_least_float32
from mechscope.techniques.circuits.graph import EdgeGraph

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

Contributions = Float[torch.Tensor, "source batch pos d_model"]


@dataclass(frozen=True)
class Surroundings:
    """What a pass needs beside the residual stream, the same for every run of the same rows."""

    shortformer: Float[torch.Tensor, "batch pos d_model"] | None
    mask: AttentionMask
    positions: torch.Tensor | None

    @classmethod
    def of(
        cls,
        model: HookedTransformer,
        tokens: torch.Tensor,
        attention_mask: torch.Tensor | None,
        copies: int = 1,
    ) -> tuple[torch.Tensor, Surroundings]:
        """The embedded tokens [batch pos d_model], and what surrounds `copies` runs of them laid end to end."""
        residual, _, shortformer, padding = model.input_to_embed(tokens, attention_mask=attention_mask)
        if padding is not None:
            padding = padding.repeat(copies, 1)
        mask = model.make_attention_mask(residual.shape[1], padding)
        if shortformer is not None:
            shortformer = shortformer.expand(len(tokens), -1, -1).repeat(copies, 1, 1)
        return residual, cls(shortformer, mask, mask.positions)


@dataclass(frozen=True)
class Run:
    """One forward pass, taken apart."""

    sources: Contributions
    """What each source wrote."""
    read: Float[torch.Tensor, "stage batch pos d_model"]
    """The residual stream that each stage read."""


def head_contributions(
    block: TransformerBlock, z: Float[torch.Tensor, "batch pos head d_head"], heads: list[int] | None = None
) -> Float[torch.Tensor, "head batch pos d_model"]:
    """What each head adds to the residual stream; with the bias b_O (and a norm's shift), their sum is attn_out.

    Where attention's output is normalised before it is added, a head's share is its result, with an equal
    share of b_O, centred and divided as the whole is: the shares and the norm's shift add up exactly.

    Args:
        heads: which heads `z` holds; None means all. Without an output norm only.
    """
    attn = block.attn
    weight = attn.W_O if heads is None else attn.W_O[heads]
    result = einsum(z, weight, "batch pos head d_head, head d_head d_model -> head batch pos d_model")
    norm = block.ln1_post
    if norm is None:
        return result
    assert isinstance(norm, Norm)
    share = at_least_float32(result) + attn.b_O / len(result)
    if norm.centre:
        share = share - share.mean(-1, keepdim=True)
    scale = (share.sum(0).pow(2).mean(-1, keepdim=True) + norm.eps).sqrt()
    return (share / scale if norm.w is None else share / scale * norm.w).to(result.dtype)


def attention_constant(block: TransformerBlock) -> Float[torch.Tensor, " d_model"]:
    """What attention adds beside its heads' contributions, the same in every run."""
    norm = block.ln1_post
    if norm is None:
        return block.attn.b_O
    return torch.zeros_like(block.attn.b_O) if norm.b is None else norm.b  # type: ignore[union-attr]


def plain_run(
    model: HookedTransformer,
    graph: EdgeGraph,
    tokens: torch.Tensor,
    attention_mask: torch.Tensor | None,
) -> Run:
    """A forward pass with what every node wrote and every stage read."""
    with torch.no_grad():
        residual, around = Surroundings.of(model, tokens, attention_mask)
        sources = residual.new_empty(len(graph.sources), *residual.shape)
        read = residual.new_empty(len(graph.stages), *residual.shape)
        sources[0] = residual
        before_attention = residual
        for number, stage in enumerate(graph.stages):
            if stage.kind == "attn":
                block = model.blocks[stage.layer]
                read[number] = before_attention = residual
                inputs = block.attention_inputs(residual, around.shortformer)
                q, k, v = block.attn.queries_keys_values(*inputs, around.positions)
                written = head_contributions(block, block.attn.attend(q, k, v, around.mask))
                sources[stage.sources.start : stage.sources.stop] = written
                residual = residual + written.sum(0) + attention_constant(block)
            elif stage.kind == "mlp":
                read[number] = before_attention if graph.parallel else residual
                out = model.blocks[stage.layer].mlp_output(read[number])
                sources[stage.sources.start] = out
                residual = residual + out
            else:
                read[number] = residual
    return Run(sources, read)
