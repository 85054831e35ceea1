"""The subspace of a site that later weights read; what lies outside it is dormant (Makelov et al. 2023)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

TOLERANCE = 1e-4
"""Singular values below this share of the largest read nothing."""


def read_part(
    model: HookedTransformer, site: str, layer: int, head: int | None, direction: Float[torch.Tensor, " d"]
) -> Float[torch.Tensor, " d"] | None:
    """Project a direction onto the subspace that later weights read; None if they read the whole space.

    Neurons are read through W_out, a head's values through its W_O, the residual stream through the query, key,
    value and MLP input weights of later blocks and the unembedding (each after its norm, which scales and centres).
    """
    matrices = [matrix.detach().double().cpu() for matrix in _readers(model, site, layer, head)]
    # Normalised, so that a matrix with small weights still counts as reading.
    scaled = [matrix / matrix.norm().clamp(min=1e-30) for matrix in matrices]
    axes, sizes, _ = torch.linalg.svd(torch.cat(scaled, dim=1), full_matrices=False)
    axes = axes[:, sizes > TOLERANCE * sizes[0]]
    if axes.shape[1] == len(direction):
        return None
    return axes @ (axes.mT @ direction.double().cpu())


def _readers(model: HookedTransformer, site: str, layer: int, head: int | None) -> list[torch.Tensor]:
    """Matrices [d read] whose columns span what is read."""
    cfg = model.cfg
    if site == "post":
        return [model.blocks[layer].mlp.W_out]
    if site == "z":
        return [model.W_O[layer, head]]
    found: list[torch.Tensor] = []
    blocks = list(enumerate(model.blocks))
    mlp_too = not cfg.attn_only
    # A parallel block's MLP reads the stream before attention writes to it.
    own_mlp = site in ("resid_pre", "resid_mid") or (site == "attn_out" and not cfg.parallel_attn_mlp)
    for number, block in blocks[layer:]:
        if number > layer or site == "resid_pre":
            for weights in (model.W_Q[number], model.W_K[number], model.W_V[number]):
                found += [_behind_norm(model, each, block.ln1) for each in weights]
        if mlp_too and (number > layer or own_mlp):
            norm = block.ln1 if cfg.parallel_attn_mlp else block.ln2
            found.append(_behind_norm(model, model.W_in[number], norm))
    return [*found, _behind_norm(model, model.unembed.W_U, model.ln_final)]


def _behind_norm(model: HookedTransformer, matrix: torch.Tensor, norm: Any) -> torch.Tensor:
    """What a matrix reads before its norm, which multiplies by weights and centres (the norm's divisor is ignored)."""
    matrix = matrix.detach().double()  # in half precision the mean would not be exact
    if model.cfg.norm_placement != "pre":
        return matrix
    weight = getattr(norm, "w", None)
    read = matrix if weight is None else matrix * weight[:, None]
    if str(model.cfg.normalization_type).startswith("LN"):
        read = read - read.mean(0, keepdim=True)
    return read
