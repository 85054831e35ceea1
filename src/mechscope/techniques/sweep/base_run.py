"""The run without interventions, whose activations are computed when they are needed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch

from mechscope.model.components.pass_context import repeat_rows
from mechscope.model.key_value_cache import HookedTransformerKeyValueCacheEntry
from mechscope.model.token_batch import TextOrIds

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer


class BaseRun:
    """One forward pass without interventions.

    Args:
        model: the model.
        tokens: text, or tokens [batch pos].
        attention_mask: 0 where a token is padding [batch pos]; None uses the tokens' own mask (see `model.as_tokens`).
        also: hook points that the first pass stores in addition, because they will be needed later.
    """

    def __init__(
        self,
        model: HookedTransformer,
        tokens: torch.Tensor | TextOrIds,
        attention_mask: torch.Tensor | None = None,
        *,
        also: Iterable[str] = (),
    ) -> None:
        self.model = model
        # Tokens that know their padding: slices of them need no separate mask.
        self.tokens = model.as_tokens(tokens, attention_mask=attention_mask)
        self.attention_mask = self.tokens.attention_mask
        self.batch, self.length = self.tokens.shape
        with torch.no_grad():
            _, self.context = model.start_pass(self.tokens)
        self._also = tuple(also)
        self._cache: dict[str, torch.Tensor] = {}
        self._start: torch.Tensor | None = None

    def __getitem__(self, hook: str) -> torch.Tensor:
        """The activation at a hook point, by its full name."""
        self.require([hook])
        return self._cache[hook]

    def require(self, hooks: Iterable[str]) -> None:
        """Compute several activations in one pass, unless they are known already."""
        wanted = list(hooks)
        if all(hook in self._cache for hook in wanted):
            return
        missing = [hook for hook in dict.fromkeys([*wanted, *self._also]) if hook not in self._cache]
        with torch.no_grad():
            _, cache = self.model.run_with_cache(self.tokens, return_type=None, names_filter=missing)
        self._cache |= dict(cache.items())

    def key_value_hooks(self, layer: int) -> tuple[str, str]:
        """The last hook points of keys and values before attention."""
        attn = self.model.blocks[layer].attn
        return str(attn.key_hook.name), str(attn.hook_v.name)

    def queries(self, layer: int) -> torch.Tensor:
        """Queries as they enter the attention scores [batch pos head d_head]."""
        attn = self.model.blocks[layer].attn
        return attn.ready_queries(self[str(attn.query_hook.name)])

    def keys(self, layer: int) -> torch.Tensor:
        """Keys as they enter the attention scores [batch pos kv_head d_head]."""
        attn = self.model.blocks[layer].attn
        return attn.ready_keys(self[str(attn.key_hook.name)])

    def resid(self, layer: int) -> torch.Tensor:
        """The input of a block [batch pos d_model], before its own hook points; n_layers gives the end."""
        if layer > 0:
            return self[resid_hook(layer)]
        if self.model.cfg.n_layers and not self.model.blocks[0].hook_resid_pre.watched:
            return self[resid_hook(0)]
        if self._start is None:
            with torch.no_grad():
                embedded = self.model.input_to_embed(self.tokens)
            self._start = embedded[0]
        return self._start

    def prefix(self, layer: int, start: int, rows: int) -> HookedTransformerKeyValueCacheEntry | None:
        """Keys and values before position `start`, repeated for each of `rows` interventions."""
        if start == 0:
            return None
        keys, values = self.keys(layer), self[self.key_value_hooks(layer)[1]]
        keys, values = (repeat_rows(each[:, :start], rows) for each in (keys, values))
        return HookedTransformerKeyValueCacheEntry(keys, values, frozen=True)


def resid_hooks(model: HookedTransformer, *, end_only: bool = False) -> list[str]:
    """The hook points of each block's input and of the end; empty for a model without layers."""
    n_layers = model.cfg.n_layers
    return (
        [resid_hook(layer) for layer in range(n_layers if end_only else 0, n_layers + 1)] if n_layers else []
    )


def resid_hook(layer: int) -> str:
    """The hook point just before a block's own hook points; n_layers gives the end.

    A run that resumes at this block fires the block's own hook points once, and those before it not again.
    """
    return f"blocks.{layer - 1}.hook_resid_post" if layer else "blocks.0.hook_resid_pre"
