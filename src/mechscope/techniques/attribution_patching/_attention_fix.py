"""The correction for queries and keys of saturated attention (Kramár et al. 2024, AtP*, section 3.1.1).

If a head puts all its attention on one key, the softmax is flat and its gradient zero, so plain attribution patching
says that no query or key matters, although replacing one may move the attention completely. The correction computes
the attention pattern with the patched query or key exactly, and uses the first-order estimate only from the pattern
on: (new pattern - old pattern) . d(metric)/d(pattern).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float

from mechscope.model.precision import at_least_float32
from mechscope.techniques.sweep.base_run import BaseRun

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

Pattern = Float[torch.Tensor, "batch head query key"]


class AttentionFix:
    """Exact attention patterns of one run under queries and keys of another.

    Args:
        base: the run that is patched.
        source: the run that queries and keys come from.
    """

    def __init__(self, model: HookedTransformer, base: BaseRun, source: BaseRun) -> None:
        self.model, self.base, self.source = model, base, source

    def require(self, sites: Sequence[str]) -> None:
        """Compute in one pass each what `estimate` needs of both runs."""
        for layer in range(self.model.cfg.n_layers):
            names = self._names(layer)
            self.base.require([*names.values(), f"blocks.{layer}.attn.hook_v"])
            self.source.require([names[site] for site in sites])

    def _names(self, layer: int) -> dict[str, str]:
        """The last hook points of queries and keys before the attention scores."""
        attn = self.model.blocks[layer].attn
        return {"q": str(attn.query_hook.name), "k": str(attn.key_hook.name)}

    def estimate(
        self, site: str, layer: int, gradient: Pattern, by_position: bool
    ) -> Float[torch.Tensor, "batch pos site_head"]:
        """The estimate for each query or key; without `by_position`, one entry for all positions together.

        Args:
            site: "q" or "k"; a key belongs to a key/value head, and affects every head that reads it.
            gradient: d(metric)/d(pattern) of the base run.
        """
        gradient = at_least_float32(gradient)
        old = self._scores(layer, "base", "base")
        before = _softmax(old)
        new = self._scores(layer, *(("source", "base") if site == "q" else ("base", "source")))
        if site == "q":
            rows = ((_softmax(new) - before) * gradient).sum(-1)  # each query affects only its own row
            return rows.mT if by_position else rows.sum(-1)[:, None]
        if not by_position:
            return self._by_key_head(((_softmax(new) - before) * gradient).sum((-1, -2)))[:, None]
        keys: list[torch.Tensor] = []
        for key in range(old.shape[-1]):
            scores = old.clone()
            scores[..., key] = new[..., key]
            keys.append(((_softmax(scores) - before) * gradient).sum((-1, -2)))
        return self._by_key_head(torch.stack(keys, 1))

    def _by_key_head(self, values: Float[torch.Tensor, "*batch head"]) -> torch.Tensor:
        kv_heads = self.model.cfg.n_kv_heads
        return values.unflatten(-1, (kv_heads, values.shape[-1] // kv_heads)).sum(-1)

    def _scores(self, layer: int, queries_of: str, keys_of: str) -> Pattern:
        """Attention scores as the model computes them, including scale, soft cap, slopes and mask."""
        runs = {"base": self.base, "source": self.source}
        attn = f"blocks.{layer}.attn"
        caught: list[torch.Tensor] = []

        def catch(scores: torch.Tensor, hook: Any) -> None:
            caught.append(scores.detach())

        with torch.no_grad(), self.model.hooks(fwd_hooks=[(f"{attn}.hook_attn_scores", catch)]):
            self.model.blocks[layer].attn.attend(
                runs[queries_of].queries(layer),
                runs[keys_of].keys(layer),
                self.base[f"{attn}.hook_v"],
                self.base.context.mask,
            )
        return at_least_float32(caught[0])


def _softmax(scores: Pattern) -> Pattern:
    """The attention pattern; zero for a padding query that may attend to nothing."""
    blind = (scores == -torch.inf).all(-1, keepdim=True)
    return scores.masked_fill(blind, 0.0).softmax(-1).masked_fill(blind, 0.0)
