"""Orthonormal bases of subspaces of an activation: from directions, from data, and at random."""

from __future__ import annotations

import torch
from jaxtyping import Float

from mechscope.model.precision import at_least_float32


def orthonormal_basis(vectors: torch.Tensor, tolerance: float = 1e-4) -> Float[torch.Tensor, "d k"]:
    """Orthonormal columns with the same span as one direction [d] or several columns [d k].

    Raises:
        ValueError: for another shape, more directions than dimensions, values that are not finite, or linearly
            dependent directions.

    >>> orthonormal_basis(torch.tensor([3.0, 4.0])).flatten().abs()
    tensor([0.6000, 0.8000])
    """
    columns = at_least_float32(vectors.detach())
    columns = columns[:, None] if columns.ndim == 1 else columns
    if columns.ndim != 2 or columns.shape[1] == 0:
        raise ValueError(
            f"a subspace must be one direction [d] or several as columns [d k], not {tuple(vectors.shape)}."
        )
    d, k = columns.shape
    if k > d:
        raise ValueError(
            f"{k} directions do not fit in {d} dimensions; directions are columns [d k], so is the matrix transposed?"
        )
    if not bool(torch.isfinite(columns).all()):
        raise ValueError("a direction contains NaN or infinity.")
    lengths = columns.norm(dim=0)
    if float(lengths.min()) == 0:
        raise ValueError("a direction is zero, so it spans nothing.")
    # Unlike the diagonal of a QR, singular values show linear dependence reliably.
    basis, sizes, _ = torch.linalg.svd(columns / lengths, full_matrices=False)
    if float(sizes[-1]) < tolerance * float(sizes[0]):
        raise ValueError(
            f"the {k} directions are linearly dependent (smallest singular value {float(sizes[-1]):.2g} of "
            f"{float(sizes[0]):.2g}); give fewer."
        )
    return basis


def random_subspaces(d: int, k: int, count: int, seed: int) -> list[Float[torch.Tensor, "d k"]]:
    """Orthonormal bases of subspaces of dimension k, drawn uniformly."""
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.linalg.qr(torch.randn(d, k, generator=generator, dtype=torch.float64))[0] for _ in range(count)
    ]


def principal_subspace(activations: Float[torch.Tensor, "*batch d"], k: int) -> Float[torch.Tensor, "d k"]:
    """The k directions along which activations vary most, after subtracting their mean.

    Raises:
        ValueError: if the activations span fewer than k directions.
    """
    rows = at_least_float32(activations.detach()).reshape(-1, activations.shape[-1])
    if not 1 <= k <= min(len(rows) - 1, rows.shape[1]):
        raise ValueError(f"{len(rows)} activations of {rows.shape[1]} entries do not span {k} directions.")
    _, _, directions = torch.linalg.svd(rows - rows.mean(0), full_matrices=False)
    return directions[:k].mT


def complement(basis: Float[torch.Tensor, "d k"]) -> Float[torch.Tensor, "d rest"]:
    """An orthonormal basis of the orthogonal complement of a subspace."""
    return torch.linalg.qr(basis, mode="complete")[0][:, basis.shape[1] :]
