"""Check the inputs of a forward pass before it starts: layers, tokens, residual streams, masks, key/value caches."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float, Int

from mechscope.arguments import fits, shown
from mechscope.model.config import HookedTransformerConfig
from mechscope.model.gradients import values_are_known
from mechscope.model.key_value_cache import HookedTransformerKeyValueCache
from mechscope.model.token_batch import Tokens, plain_ids, plain_mask


def layer_number(layer: Any, argument: str, cfg: HookedTransformerConfig, default: int) -> int:
    """A layer from 0 to n_layers; a negative layer counts from the end, and None means `default`.

    Raises:
        TypeError: for anything but a whole number or None.
        ValueError: for a layer that the model does not have.
    """
    if layer is None:
        return default
    if not fits(layer, int):
        raise TypeError(f"{argument} is a whole number, not {shown(layer)}.")
    layer = int(layer)
    if not -cfg.n_layers <= layer <= cfg.n_layers:
        raise ValueError(f"{argument} must be between {-cfg.n_layers} and {cfg.n_layers}, not {layer}.")
    return layer + cfg.n_layers if layer < 0 else layer


def cached_positions(past_kv_cache: Any, cfg: HookedTransformerConfig) -> int:
    """How many positions a key/value cache holds; 0 for None.

    Raises:
        TypeError: for anything but a cache or None.
        ValueError: for a cache of another model, or a bidirectional model.
    """
    if past_kv_cache is None:
        return 0
    if not isinstance(past_kv_cache, HookedTransformerKeyValueCache):
        raise TypeError(
            f"past_kv_cache is a HookedTransformerKeyValueCache (init_cache makes one), not "
            f"{shown(past_kv_cache)}."
        )
    if cfg.attention_dir != "causal":
        raise ValueError(
            "a bidirectional model cannot use a key/value cache: earlier positions would have to see later ones."
        )
    past_kv_cache.check(cfg)
    return past_kv_cache.length


def check_tokens(tokens: torch.Tensor, offset: int, cfg: HookedTransformerConfig) -> None:
    """Check the shape, length and range of token ids [batch pos] that follow `offset` cached positions.

    Raises:
        ValueError: for another shape, no tokens, more than n_ctx positions, or an id that the model does not know.
    """
    if tokens.ndim != 2:
        raise ValueError(f"tokens have shape [batch pos] or [pos], not {tuple(tokens.shape)}.")
    if tokens.numel() == 0:
        raise ValueError(f"there are no tokens: shape {tuple(tokens.shape)}.")
    length = offset + tokens.shape[1]
    if length > cfg.n_ctx:
        raise ValueError(
            f"{length} positions are more than this model's context of n_ctx={cfg.n_ctx}; shorten the input."
        )
    if not values_are_known(tokens):
        return
    low, high = (int(end) for end in torch.aminmax(tokens))
    if low < 0 or high >= cfg.d_vocab:
        raise ValueError(
            f"token id {low if low < 0 else high} is out of range: this model knows ids 0 to {cfg.d_vocab - 1}."
        )


def check_residual(residual: Any, cfg: HookedTransformerConfig) -> Float[torch.Tensor, "batch pos d_model"]:
    """Check that an input is a residual stream [batch pos d_model], and return it.

    Raises:
        ValueError: for anything else.
    """
    if not isinstance(residual, torch.Tensor) or residual.ndim != 3 or residual.shape[-1] != cfg.d_model:
        found = tuple(residual.shape) if isinstance(residual, torch.Tensor) else type(residual).__name__
        raise ValueError(
            f"with start_at_layer the input is a residual stream [batch pos {cfg.d_model}], not {found}."
        )
    return residual


def tokens_of_residual(
    residual: Float[torch.Tensor, "batch pos d_model"], tokens: torch.Tensor | None, attention_mask: Any
) -> torch.Tensor:
    """The tokens that belong to a residual stream, with their mask; zeros if the caller gave none.

    Args:
        residual: the input of a pass that starts at an inner layer.
        tokens: what the caller passed as `tokens`.
        attention_mask: what the caller passed; it may cover cached positions too.
    """
    if tokens is None:
        ids = torch.zeros(residual.shape[:2], dtype=torch.long, device=residual.device)
        return Tokens(ids, _newest(attention_mask, residual.shape[1]))
    if attention_mask is not None:
        return Tokens(plain_ids(tokens), _newest(attention_mask, residual.shape[1]))
    return tokens


def check_same_positions(tokens: Int[torch.Tensor, "batch pos"], residual: torch.Tensor) -> None:
    """Check that tokens and residual stream agree in batch and positions.

    Raises:
        ValueError: if they do not.
    """
    if tokens.shape != residual.shape[:2]:
        raise ValueError(
            f"the residual stream is {tuple(residual.shape[:2])} [batch pos] and the tokens "
            f"{tuple(tokens.shape)}; they must agree."
        )


def padding_of_all_positions(
    tokens: Tokens, past_kv_cache: HookedTransformerKeyValueCache | None
) -> Bool[torch.Tensor, "batch key"] | None:
    """True at real tokens, over cached and new positions [batch key]; None if there is no padding."""
    if past_kv_cache is None:
        return tokens.attention_mask
    mask = past_kv_cache.append_attention_mask(tokens.is_real)
    return None if bool(mask.all()) else mask


def _newest(attention_mask: Any, length: int) -> torch.Tensor | None:
    """The last `length` positions of a mask."""
    return None if attention_mask is None else plain_mask(attention_mask)[:, -length:]
