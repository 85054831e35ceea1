"""The residual stream that the final norm reads, from the activations of a pass; also for models without layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from mechscope.model.config import HookedTransformerConfig


def final_residual_names(cfg: HookedTransformerConfig) -> tuple[str, ...]:
    """Hook points whose activations add up to the residual stream after the last block.

    >>> from mechscope.model.config import HookedTransformerConfig
    >>> fields = dict(d_model=8, n_ctx=4, d_head=4, d_vocab=5, act_fn="gelu")
    >>> final_residual_names(HookedTransformerConfig(n_layers=2, **fields))
    ('blocks.1.hook_resid_post',)
    >>> final_residual_names(HookedTransformerConfig(n_layers=0, **fields))
    ('hook_embed', 'hook_pos_embed')
    """
    if cfg.n_layers:
        return (f"blocks.{cfg.n_layers - 1}.hook_resid_post",)
    # Without a block, no hook point has the sum of the embeddings.
    return (
        ("hook_embed", "hook_pos_embed") if cfg.positional_embedding_type == "standard" else ("hook_embed",)
    )


def final_residual(cfg: HookedTransformerConfig, read: Callable[[str], torch.Tensor]) -> torch.Tensor:
    """The residual stream after the last block.

    Args:
        cfg: the model's config.
        read: a function from a hook name to its activation, such as `cache.__getitem__`.
    """
    first, *others = (read(name) for name in final_residual_names(cfg))
    # Not in place, because the first belongs to the cache. Position embeddings may have a batch of one.
    return first + others[0] if others else first
