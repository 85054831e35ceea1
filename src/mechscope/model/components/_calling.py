"""Call blocks and attention layers: ours, or custom ones with the classic arguments."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import torch
from torch import nn

from mechscope.model.components._classic_attention import OVERRIDABLE
from mechscope.model.components.pass_context import PassContext


def run_attention(
    attn: nn.Module,
    inputs: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    past_kv_cache_entry: Any,
    attention_mask: torch.Tensor | None,
    context: PassContext | None,
) -> torch.Tensor:
    """The output of an attention layer [batch pos d_model], for the inputs of queries, keys and values."""
    if takes_context(type(attn)):
        return attn(*inputs, past_kv_cache_entry, attention_mask=attention_mask, context=context)
    query_input, key_input, value_input = inputs
    return attn(
        query_input=query_input,
        key_input=key_input,
        value_input=value_input,
        past_kv_cache_entry=past_kv_cache_entry,
        attention_mask=_padding(attention_mask, context),
    )


def run_block(
    block: nn.Module,
    residual: torch.Tensor,
    past_kv_cache_entry: Any,
    context: PassContext,
) -> torch.Tensor:
    """The residual stream after a block [batch pos d_model]."""
    if takes_context(type(block)):
        return block(residual, context.shortformer_pos_embed, past_kv_cache_entry, context=context)
    return block(
        residual,
        shortformer_pos_embed=context.shortformer_pos_embed,
        past_kv_cache_entry=past_kv_cache_entry,
        attention_mask=_padding(None, context),
    )


@functools.cache
def takes_context(cls: type) -> bool:
    """Whether the class's `forward` takes a `context`, as our classes do, unlike classic ones."""
    parameters = inspect.signature(cls.forward).parameters  # type: ignore[attr-defined]
    return "context" in parameters or any(
        parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()
    )


def _padding(attention_mask: torch.Tensor | None, context: PassContext | None) -> torch.Tensor | None:
    """1 where a position is real [batch key], as classic layers take it."""
    if attention_mask is not None or context is None or context.mask.padding is None:
        return attention_mask
    return context.mask.padding.to(torch.int64)


def has_custom_parts(model: Any) -> bool:
    """Whether a block, attention layer or MLP of the model has a custom class or overridden methods.

    Such a part must be called as a whole, because its inner steps are unknown.
    """
    return any(_is_custom(block) for block in model.blocks)


def _is_custom(block: Any) -> bool:
    attn = getattr(block, "attn", None)
    parts = [part for part in (block, attn, getattr(block, "mlp", None)) if part is not None]
    if any(
        not type(part).__module__.startswith("mechscope.") or "forward" in part.__dict__ for part in parts
    ):
        return True
    return attn is None or any(attn.overrides(name) for name in OVERRIDABLE)
