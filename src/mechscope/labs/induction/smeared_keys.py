"""Smeared keys: each head mixes the previous position's key into every key, in a proportion that it learns.

k_j ← σ(α_h) k_j + (1 - σ(α_h)) k_{j-1}

The second layer of an induction circuit reads keys that contain the previous token. If keys contain it from the start,
one layer should be enough. Source: Olsson et al. (2022), "In-context learning and induction heads", argument 2.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.model.transformer import HookedTransformer


@contextmanager
def smearing(model: HookedTransformer, alpha: Float[Tensor, " head"]) -> Generator[None]:
    """Context in which the first layer of the model has smeared keys; gradients reach `alpha`."""
    with model.hooks(fwd_hooks=[("blocks.0.attn.hook_k", partial(_smear, alpha=alpha))]):
        yield


def smear(
    keys: Float[Tensor, "batch pos head d_head"], alpha: Float[Tensor, " head"]
) -> Float[Tensor, "batch pos head d_head"]:
    """Mix the previous position's key into each key. The first position keeps its own."""
    own = alpha.sigmoid()[:, None]
    before = torch.cat([keys[:, :1], keys[:, :-1]], dim=1)
    return own * keys + (1 - own) * before


def _smear(keys: Tensor, hook: Any, alpha: Tensor) -> Tensor:
    return smear(keys, alpha)
