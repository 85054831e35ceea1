"""(z − b_dec) W_enc + b_enc, with exact gradients that cost less than autograd's.

The gradient of b_dec is minus the sum over examples of the gradient of z. One product of the summed gradient of the
pre-activations with W_enc gives it; autograd would multiply whole matrices.
"""

from __future__ import annotations

from typing import Any, TypeVarTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.model.gradients import forward_gradients

Tensors = TypeVarTuple("Tensors")


def encoder_product(
    z: Float[Tensor, "*batch d_in"],
    b_dec: Float[Tensor, " d_in"] | None,
    W_enc: Float[Tensor, "d_in feature"],
    b_enc: Float[Tensor, " feature"] | None,
) -> Float[Tensor, "*batch feature"]:
    """Pre-activations; b_dec and b_enc may be None."""
    z, b_dec, W_enc, b_enc = as_autocast(z, b_dec, W_enc, b_enc)
    if torch._C._are_functorch_transforms_active() or forward_gradients():
        # torch.func can only differentiate torch's own operations.
        read = z if b_dec is None else z - b_dec
        return read @ W_enc if b_enc is None else read @ W_enc + b_enc
    pre = cast("Tensor", _EncoderProduct.apply(z.reshape(-1, z.shape[-1]), b_dec, W_enc, b_enc))
    return pre.view(*z.shape[:-1], pre.shape[-1])


def as_autocast(*tensors: *Tensors) -> tuple[*Tensors]:
    """The tensors in autocast's dtype, because autocast does not convert the inputs of custom functions."""
    first = cast("Tensor", tensors[0])
    if not torch.is_autocast_enabled(first.device.type):
        return tensors
    dtype = torch.get_autocast_dtype(first.device.type)
    return cast(
        "tuple[*Tensors]",
        tuple(tensor.to(dtype) if isinstance(tensor, Tensor) else tensor for tensor in tensors),
    )


class _EncoderProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, b_dec: Tensor | None, W_enc: Tensor, b_enc: Tensor | None) -> Tensor:
        if b_dec is not None:
            z = z - b_dec
        ctx.save_for_backward(z, W_enc)
        return z @ W_enc if b_enc is None else torch.addmm(b_enc, z, W_enc)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        z, W_enc = ctx.saved_tensors
        (flowing,) = gradients
        for_z, for_b_dec, for_W_enc, for_b_enc = ctx.needs_input_grad
        summed = flowing.sum(0) if for_b_dec or for_b_enc else None
        return (
            flowing @ W_enc.T if for_z else None,
            -(W_enc @ summed) if for_b_dec and summed is not None else None,
            z.T @ flowing if for_W_enc else None,
            summed if for_b_enc else None,
        )
