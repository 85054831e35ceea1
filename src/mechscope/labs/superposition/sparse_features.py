"""Sparse made-up features: each is absent most of the time, and has a uniform strength when it is present."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.checkpoints.toy_networks import FeatureKind


def draw_features(
    kind: FeatureKind,
    density: Float[Tensor, " setting"],
    n_features: int,
    batch: int,
    generator: torch.Generator,
) -> Float[Tensor, "setting feature batch"]:
    """One batch for each density, all made from the same random numbers.

    Args:
        kind: "independent": present with probability p, then uniform on [0, 1]. "signed": the same on [-1, 1].
            "correlated": features 2k and 2k+1 are present together or not at all, with independent strengths.
            "anticorrelated": never together; each is present with probability p.
        density: probability p (the papers' 1 − S) of each setting.

    Raises:
        ValueError: for a density that is impossible for the kind, or an odd number of paired features.
    """
    highest = 0.5 if kind == "anticorrelated" else 1.0
    if bool((density <= 0).any()) or bool((density > highest).any()):
        raise ValueError(
            f"densities of {kind} features are above 0 and at most {highest:g}, not {density.tolist()}."
        )
    if kind in ("correlated", "anticorrelated") and n_features % 2:
        raise ValueError(f"{kind} features come in pairs; {n_features} is odd.")
    p = density[:, None, None]
    if kind in ("independent", "signed"):
        # One draw decides both presence and strength: below p the feature is present, and u/p is uniform again.
        u = torch.rand(n_features, batch, generator=generator).to(density.device)
        strength = u / p
        present = strength < 1
        return (2 * strength - 1) * present if kind == "signed" else strength * present
    pair = torch.rand(n_features // 2, batch, generator=generator).to(density.device)
    strength = torch.rand(n_features, batch, generator=generator).to(density.device)
    if kind == "correlated":
        present = (pair < p).repeat_interleave(2, dim=1)
    else:
        present = torch.stack([pair < p, (pair >= p) & (pair < 2 * p)], dim=2).flatten(1, 2)
    return strength * present
