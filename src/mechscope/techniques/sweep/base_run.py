"""The run that every intervention of a sweep starts from, and its activations, computed when asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch

from mechscope.model.components import AttentionMask
from mechscope.model.key_value_cache import HookedTransformerKeyValueCacheEntry

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer


class BaseRun:
    """One forward pass without interventions.

    Args:
        model: the model.
        tokens: [batch pos].
        attention_mask: 0 where a token is padding [batch pos]; None uses the tokens' own mask (see `model.as_tokens`).
    """

    def __init__(
        self, model: HookedTransformer, tokens: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> None:
        self.model = model
        # Tokens that know their padding: slices of them need no separate mask.
        self.tokens = model.as_tokens(tokens, attention_mask=attention_mask)
        self.attention_mask = self.tokens.attention_mask
        self.batch, self.length = self.tokens.shape
        _, _, self.shortformer, padding = model.input_to_embed(self.tokens)
        mask = model.make_attention_mask(self.length, padding)
        self.padding, self.positions = mask.padding, mask.positions
        self._cache: dict[str, torch.Tensor] = {}
        self._start: torch.Tensor | None = None

    def __getitem__(self, hook: str) -> torch.Tensor:
        """The activation at a hook point, by its full name."""
        self.require([hook])
        return self._cache[hook]

    def require(self, hooks: Iterable[str]) -> None:
        """Compute several activations in one pass, those that are not there yet."""
        missing = [hook for hook in dict.fromkeys(hooks) if hook not in self._cache]
        if not missing:
            return
        with torch.no_grad():
            _, cache = self.model.run_with_cache(self.tokens, return_type=None, names_filter=missing)
        self._cache |= dict(cache.items())

    @property
    def key_hook(self) -> str:
        """The last point that keys pass before they are attended to."""
        return "hook_rot_k" if self.model.cfg.positional_embedding_type == "rotary" else "hook_k"

    def queries(self, layer: int) -> torch.Tensor:
        """Queries, ready to attend [batch pos head d_head]."""
        if self.model.cfg.positional_embedding_type == "rotary":
            return self[f"blocks.{layer}.attn.hook_rot_q"]
        return self.model.blocks[layer].attn.normed_queries(self[f"blocks.{layer}.attn.hook_q"])

    def keys(self, layer: int) -> torch.Tensor:
        """Keys, ready to be attended to [batch pos kv_head d_head]."""
        keys = self[f"blocks.{layer}.attn.{self.key_hook}"]
        return keys if self.key_hook == "hook_rot_k" else self.model.blocks[layer].attn.normed_keys(keys)

    def resid(self, layer: int) -> torch.Tensor:
        """What a block receives [batch pos d_model], before its own hook points; n_layers gives the end."""
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
        """Keys and values before `start`, once for each of `rows` interventions."""
        if start == 0:
            return None
        keys = self.keys(layer)[:, :start]
        values = self[f"blocks.{layer}.attn.hook_v"][:, :start]
        return HookedTransformerKeyValueCacheEntry(
            repeat_rows(keys, rows), repeat_rows(values, rows), frozen=True
        )

    def mask(self, window: range, rows: int, queries: torch.Tensor | None = None) -> AttentionMask:
        """Who attends to whom when only a window of positions is computed.

        Args:
            window: the positions whose keys are new; earlier ones are the prefix.
            rows: interventions in the batch.
            queries: positions of the queries [query] or [batch query], where not all of the window.
        """
        padding = None if self.padding is None else repeat_rows(self.padding[:, : window.stop], rows)
        if queries is not None and queries.ndim == 2:
            queries = repeat_rows(queries, rows)
        return AttentionMask(
            len(window) if queries is None else queries.shape[-1],
            window.stop,
            padding=padding,
            causal=self.model.cfg.attention_dir == "causal",
            device=self.tokens.device,
            query_positions=queries,
        )

    def at(self, values: torch.Tensor | None, window: range, rows: int) -> torch.Tensor | None:
        """A window of something that every position has [batch pos ...], once for each of `rows`."""
        return None if values is None else repeat_rows(values[:, window.start : window.stop], rows)


def resid_hook(layer: int) -> str:
    """Where the residual stream that a block receives has passed; n_layers gives the end.

    A listener of this point has been told already, and one of the block's own points has not: a run that takes a block
    up from here tells each once.
    """
    return f"blocks.{layer - 1}.hook_resid_post" if layer else "blocks.0.hook_resid_pre"


def repeat_rows(values: torch.Tensor, rows: int) -> torch.Tensor:
    """[batch ...] as [rows * batch, ...], row after row."""
    return values.expand(rows, *values.shape).reshape(rows * values.shape[0], *values.shape[1:])
