"""Feature splitting: one latent of a small dictionary corresponds to several of a larger one.

Source: Bricken et al. (2023), "Towards Monosemanticity", on feature splitting.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

DRAWS = 20
"""How many times random rows are drawn to find out how near they come to a latent."""


@dataclass(frozen=True)
class Splitting:
    """How many latents of a large dictionary belong to each latent of a small one."""

    related: float
    """Cosine of decoder rows above which a latent of the large dictionary is a child: random rows do not reach it."""
    children: Int[Tensor, " small"]
    """How many children each latent of the small dictionary has."""
    random_children: Int[Tensor, " small"]
    """The same with random rows instead of the large dictionary's."""
    siblings: float
    """Mean cosine between children of the same parent. 1 means copies of one feature, or no siblings at all."""

    @property
    def split(self) -> float:
        """Share of the small dictionary's latents with at least two children."""
        return float((self.children >= 2).double().mean())

    @property
    def random_split(self) -> float:
        """The same for random rows."""
        return float((self.random_children >= 2).double().mean())


def split(small: Float[Tensor, "small d_in"], large: Float[Tensor, "large d_in"], seed: int) -> Splitting:
    """Match every decoder row of the large dictionary with the nearest one of the small.

    The threshold comes from random rows, many times more than the dictionary has: a child is nearer to its parent than
    any random row is to any latent.

    Raises:
        ValueError: if their widths differ.
    """
    if small.shape[1] != large.shape[1]:
        raise ValueError(
            "both dictionaries must have decoder rows of the same width (be trained on the same activations), not "
            f"{small.shape[1]} and {large.shape[1]}."
        )
    parents, rows = _normalised(small), _normalised(large)
    related = max(
        float(_nearest(parents, _normalised(permuted_rows(large, (DRAWS + 1) * seed + draw)))[0].max())
        for draw in range(DRAWS)
    )
    cosine, parent = _nearest(parents, rows)
    child = cosine > related
    between = rows[child] @ rows[child].T
    same = (parent[child][:, None] == parent[child]) & ~torch.eye(int(child.sum()), dtype=torch.bool)
    random_cosine, random_parent = _nearest(
        parents, _normalised(permuted_rows(large, (DRAWS + 1) * seed + DRAWS))
    )
    return Splitting(
        related,
        torch.bincount(parent[child], minlength=len(small)),
        torch.bincount(random_parent[random_cosine > related], minlength=len(small)),
        float(between[same].mean()) if bool(same.any()) else 1.0,
    )


def permuted_rows(rows: Float[Tensor, "latent d_in"], seed: int) -> Float[Tensor, "latent d_in"]:
    """Random rows: each neuron's weights, shuffled over the latents."""
    order = torch.rand(rows.shape, generator=torch.Generator().manual_seed(seed)).argsort(0)
    return rows.detach().cpu().gather(0, order)


def _normalised(rows: Tensor) -> Float[Tensor, "latent d_in"]:
    rows = rows.detach().cpu().double()
    return rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-12)


def _nearest(parents: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    best = (rows @ parents.T).max(dim=1)
    return best.values, best.indices
