"""Grouped-query attention: groups of query heads share keys and values (Ainslie et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from mechscope.model.components.attention import Attention
from mechscope.model.components.rotary import RotaryTable
from mechscope.model.config import ConfigLike, HookedTransformerConfig

SHARED = ("W_K", "W_V", "b_K", "b_V")


class GroupedQueryAttention(Attention):
    """Attention with one slice of `_W_K`, `_W_V`, `_b_K` and `_b_V` per key/value head.

    `W_K`, `W_V`, `b_K` and `b_V` are copies with one slice per query head; write to `_W_K` and so on.

    Raises:
        ValueError: for a config without n_key_value_heads.
    """

    def __init__(
        self,
        cfg: ConfigLike,
        attn_type: str = "global",
        layer_id: int | None = None,
        rotary: RotaryTable | None = None,
    ) -> None:
        if HookedTransformerConfig.unwrap(cfg).n_key_value_heads is None:
            raise ValueError(
                "grouped-query attention needs a config with n_key_value_heads below n_heads; use Attention if each "
                "head has its own keys and values."
            )
        super().__init__(cfg, attn_type, layer_id, rotary)

    @property
    def W_K(self) -> torch.Tensor:  # type: ignore[override]
        """Key weights, one slice per query head [head d_model d_head]."""
        return self._by_query_head_copy("W_K")

    @property
    def W_V(self) -> torch.Tensor:  # type: ignore[override]
        """Value weights, one slice per query head [head d_model d_head]."""
        return self._by_query_head_copy("W_V")

    @property
    def b_K(self) -> torch.Tensor:  # type: ignore[override]
        """Key biases, one slice per query head [head d_head]."""
        return self._by_query_head_copy("b_K")

    @property
    def b_V(self) -> torch.Tensor:  # type: ignore[override]
        """Value biases, one slice per query head [head d_head]."""
        return self._by_query_head_copy("b_V")


def ungroup_weights(
    cfg: HookedTransformerConfig, state_dict: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Expand shared key and value weights so that every query head has its own."""
    group = cfg.n_heads // cfg.n_kv_heads
    found: dict[str, torch.Tensor] = {}
    for name, value in state_dict.items():
        owner, _, last = name.rpartition(".")
        if last.removeprefix("_") in SHARED and last.startswith("_"):
            found[f"{owner}.{last[1:]}"] = value.repeat_interleave(group, dim=0)
        elif name.endswith("attn.k_norm.w") and cfg.qk_norm == "full":
            by_head = value.unflatten(0, (cfg.n_kv_heads, cfg.d_head))
            found[name] = by_head.repeat_interleave(group, dim=0).flatten()
        else:
            found[name] = value
    return found
