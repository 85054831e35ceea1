"""Products for TopK dictionaries that only touch the k active features of each example.

A dense training step multiplies [batch feature] by a weight matrix six times. Here only the encoder's forward product
has that size; decoding, and the gradients of decoder, features and encoder, each cost batch · k · d_model. All of these
are sums of weighted rows ("bags"), for which torch has a fast kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechscope.dictionaries._encoder_product import as_autocast
from mechscope.dictionaries._top_k import top_k
from mechscope.dictionaries.distributed._selection import among_all
from mechscope.dictionaries.distributed.ranks import ALONE, Ranks


def encode_topk(
    z: Float[Tensor, "batch d_in"],
    b_dec: Float[Tensor, " d_in"] | None,
    W_enc: Float[Tensor, "d_in feature"],
    b_enc: Float[Tensor, " feature"],
    k: int,
    compare_in: Float[Tensor, " feature"] | None = None,
    ranks: Ranks = ALONE,
) -> tuple[Float[Tensor, "batch k"], Int[Tensor, "batch k"]]:
    """The values and indices of the k largest of (z − b_dec) W_enc + b_enc.

    Gradients of z, b_dec, W_enc and b_enc equal those of the dense product.

    Args:
        b_dec: subtracted from z; None means 0.
        compare_in: factors for comparing pre-activations, which do not change the returned values; None means 1.
        ranks: the processes among which the features are divided. Of the k largest on all ranks, only those held here
            are returned: as many columns as any example needs, padded with zeros.
    """
    z, b_dec, W_enc, b_enc = as_autocast(z, b_dec, W_enc, b_enc)
    return cast("tuple[Tensor, Tensor]", _EncodeTopK.apply(z, b_dec, W_enc, b_enc, k, compare_in, ranks))


def sparse_decode(
    values: Float[Tensor, "batch k"],
    indices: Int[Tensor, "batch k"],
    W_dec: Float[Tensor, "feature d_out"],
) -> Float[Tensor, "batch d_out"]:
    """Σ_k values · W_dec[indices], with gradients of values and W_dec equal to the dense product's."""
    values, W_dec = as_autocast(values, W_dec)
    # The kernel's own gradient is used for the values; for the table, sorted bags are faster.
    rows = sum_rows(W_dec.detach(), indices.flatten(), _starts(indices), values.flatten())
    return cast("Tensor", _DecoderGradient.apply(rows, values.detach(), indices, W_dec))


def sum_rows(
    table: Float[Tensor, "row width"],
    indices: Int[Tensor, " entry"],
    offsets: Int[Tensor, " bag"],
    weights: Float[Tensor, " entry"],
) -> Float[Tensor, "bag width"]:
    """For each bag of entries, the weighted sum of the rows with these indices."""
    return torch.nn.functional.embedding_bag(
        indices, table, offsets, mode="sum", per_sample_weights=weights.to(table.dtype)
    )


@dataclass(frozen=True)
class _ByFeature:
    """The chosen entries [batch k], ordered by feature instead of by example."""

    indices: Int[Tensor, "batch k"]
    features: int

    @cached_property
    def order(self) -> Int[Tensor, " entry"]:
        # A stable sort fixes the order of additions, and with it the last bit.
        return torch.sort(self.indices.flatten(), stable=True).indices

    @cached_property
    def examples(self) -> Int[Tensor, " entry"]:
        return self.order.div(self.indices.shape[1], rounding_mode="floor")

    @cached_property
    def offsets(self) -> Int[Tensor, " feature"]:
        counts = torch.bincount(self.indices.flatten(), minlength=self.features)
        return counts.cumsum(0) - counts

    def outer(
        self, values: Float[Tensor, "batch k"], rows: Float[Tensor, "batch width"]
    ) -> Float[Tensor, "feature width"]:
        """Dense featuresᵀ · rows."""
        return sum_rows(rows, self.examples, self.offsets, values.flatten()[self.order])


class _EncodeTopK(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        z: Tensor,
        b_dec: Tensor | None,
        W_enc: Tensor,
        b_enc: Tensor,
        k: int,
        compare_in: Tensor | None,
        ranks: Ranks,
    ) -> tuple[Tensor, Tensor]:
        if b_dec is not None:
            z = z - b_dec
        pre = torch.addmm(b_enc, z, W_enc)
        here = min(k, pre.shape[-1])
        if compare_in is None:
            compared, indices = top_k(pre, here)
            values = compared
        else:
            compared, indices = top_k(pre * compare_in, here)
            values = pre.gather(-1, indices)
        kept = None
        if not ranks.alone:
            kept = among_all(compared, indices, k, ranks)
            front = kept.sort(dim=-1, descending=True, stable=True).indices[
                :, : max(1, int(kept.sum(-1).max()))
            ]
            kept, values, indices = (
                kept.gather(-1, front),
                values.gather(-1, front),
                indices.gather(-1, front),
            )
            values = values * kept
        ctx.mark_non_differentiable(indices)
        ctx.save_for_backward(z, W_enc, indices, kept)
        return values, indices

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        z, W_enc, indices, kept = ctx.saved_tensors
        flowing = gradients[0].contiguous() if kept is None else gradients[0] * kept
        for_z, for_b_dec, for_W_enc, *_ = ctx.needs_input_grad
        features = W_enc.shape[1]
        # The gradient of the pre-activations, summed over examples: it gives those of b_enc and b_dec.
        summed = torch.zeros(features, dtype=flowing.dtype, device=flowing.device)
        summed.index_add_(0, indices.flatten(), flowing.flatten())
        into_W = _ByFeature(indices, features).outer(flowing, z).T if for_W_enc else None
        into_z = None
        if for_z:
            into_z = sum_rows(W_enc.T, indices.flatten(), _starts(indices), flowing.flatten())
        into_b_dec = -(W_enc @ summed) if for_b_dec else None
        return into_z, into_b_dec, into_W, summed, None, None, None


class _DecoderGradient(torch.autograd.Function):
    """Returns the decoded rows unchanged, and gives W_dec the gradient that the detached product left out."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, values: Tensor, indices: Tensor, W_dec: Tensor) -> Tensor:
        ctx.save_for_backward(values, indices)
        ctx.features = W_dec.shape[0]
        return rows.view_as(rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, Tensor | None]:
        values, indices = ctx.saved_tensors
        flowing = gradients[0].contiguous()
        into_W = None
        if ctx.needs_input_grad[3]:
            into_W = _ByFeature(indices, ctx.features).outer(values, flowing)
        return flowing, None, None, into_W


def _starts(indices: Int[Tensor, "batch k"]) -> Int[Tensor, " batch"]:
    """The index of each example's first entry."""
    return torch.arange(0, indices.numel(), indices.shape[1], device=indices.device)
