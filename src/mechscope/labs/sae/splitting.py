"""Feature splitting: what a small dictionary has one latent for, a larger one has several for.

Source: Bricken et al. (2023), "Towards Monosemanticity", on feature splitting.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

DRAWS = 20
"""Draws of random rows from which it is read how near to a latent they come."""


@dataclass(frozen=True)
class Splitting:
    """Which latents of a large dictionary descend from which of a small one."""

    related: float
    """Cosine of decoder rows above which a latent of the large dictionary is a child: random rows do not reach it."""
    children: Int[Tensor, " small"]
    """How many children each latent of the small dictionary has."""
    random_children: Int[Tensor, " small"]
    """The same with other random rows in the place of the large dictionary's."""
    siblings: float
    """Mean cosine between children of the same parent. 1 means copies of one feature, or no siblings at all."""

    @property
    def split(self) -> float:
        """Share of the small dictionary's latents with at least two children."""
        return float((self.children >= 2).double().mean())

    @property
    def random_split(self) -> float:
        """The same of random rows."""
        return float((self.random_children >= 2).double().mean())


def split(small: Float[Tensor, "small d_in"], large: Float[Tensor, "large d_in"], seed: int) -> Splitting:
    """Match every decoder row of the large dictionary with the nearest one of the small.

    How near is near is read off random rows, many times as many as the dictionary has: a child is nearer to its parent
    than any of them is to any latent.

    Raises:
        ValueError: if the two are not of one width.
    """
    if small.shape[1] != large.shape[1]:
        raise ValueError(
            "dictionaries on the same activations have rows of one width, not "
            f"{small.shape[1]} and {large.shape[1]}."
        )
    parents, rows = _units(small), _units(large)
    related = max(
        float(_nearest(parents, _units(permuted_rows(large, (DRAWS + 1) * seed + draw)))[0].max())
        for draw in range(DRAWS)
    )
    cosine, parent = _nearest(parents, rows)
    child = cosine > related
    between = rows[child] @ rows[child].T
    same = (parent[child][:, None] == parent[child]) & ~torch.eye(int(child.sum()), dtype=torch.bool)
    random_cosine, random_parent = _nearest(parents, _units(permuted_rows(large, (DRAWS + 1) * seed + DRAWS)))
    return Splitting(
        related,
        torch.bincount(parent[child], minlength=len(small)),
        torch.bincount(random_parent[random_cosine > related], minlength=len(small)),
        float(between[same].mean()) if bool(same.any()) else 1.0,
    )


def permuted_rows(rows: Float[Tensor, "latent d_in"], seed: int) -> Float[Tensor, "latent d_in"]:
    """Random directions that keep what is typical of each neuron: its weights are shuffled over the latents."""
    order = torch.rand(rows.shape, generator=torch.Generator().manual_seed(seed)).argsort(0)
    return rows.detach().cpu().gather(0, order)


def _units(rows: Tensor) -> Float[Tensor, "latent d_in"]:
    rows = rows.detach().cpu().double()
    return rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-12)


def _nearest(parents: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    found = (rows @ parents.T).max(dim=1)
    return found.values, found.indices
