"""Composition scores: how strongly the output of one head feeds into the input of a later one."""

from __future__ import annotations

import torch
from einops import einsum
from jaxtyping import Float

from mechscope.arguments import checked_arguments
from mechscope.model.factored_matrix import FactoredMatrix
from mechscope.model.precision import at_least_float32


@checked_arguments
def composition_scores(
    left: FactoredMatrix, right: FactoredMatrix, broadcast_dims: bool = True
) -> Float[torch.Tensor, "*pairs"]:
    """‖left right‖ / (‖left‖ ‖right‖) in Frobenius norms, for every pair; 0 if one of the matrices is 0.

    The products are never computed: with left = A B and right = C D, the norm of A (B C) D follows from the small
    matrix B C and the Gram matrices of A and D. Source: Elhage et al. 2021.

    Args:
        left: the matrices that write, [*left_dims, d, d].
        right: the matrices that read, [*right_dims, d, d].
        broadcast_dims: score every left with every right matrix, which gives [*left_dims, *right_dims]; False pairs
            leading axes by the usual broadcasting.

    Raises:
        ValueError: for matrices that cannot be multiplied.

    >>> identity = FactoredMatrix(torch.eye(3), torch.eye(3))
    >>> round(float(composition_scores(identity, identity)), 4)
    0.5774
    """
    # Fourth powers of weights are summed: float16 would overflow, or round them to 0.
    left, right = (
        FactoredMatrix(at_least_float32(side.A), at_least_float32(side.B)) for side in (left, right)
    )
    if broadcast_dims:
        extra_left, extra_right = left.A.ndim - 2, right.A.ndim - 2
        left = FactoredMatrix(*(_widen(part, after=extra_right) for part in (left.A, left.B)))
        right = FactoredMatrix(*(_widen(part, before=extra_left) for part in (right.A, right.B)))
    if left.rdim != right.ldim:
        raise ValueError(
            f"the left matrices write {left.rdim} dimensions and the right ones read {right.ldim}: "
            f"shapes {tuple(left.shape)} and {tuple(right.shape)} do not compose."
        )
    middle = left.B @ right.A
    left_gram = left.A.mT @ left.A
    right_gram = right.B @ right.B.mT
    squared = einsum(left_gram @ middle @ right_gram, middle, "... i j, ... i j -> ...")
    lengths = left.norm() * right.norm()
    # The score of a zero matrix is 0, not 0/0.
    return squared.clamp(min=0).sqrt() / lengths.masked_fill(lengths == 0, 1.0)


def _widen(tensor: torch.Tensor, before: int = 0, after: int = 0) -> torch.Tensor:
    """Add axes of size 1 before or after the leading axes."""
    leading, matrix = tensor.shape[:-2], tensor.shape[-2:]
    return tensor.reshape(*(1,) * before, *leading, *(1,) * after, *matrix)
