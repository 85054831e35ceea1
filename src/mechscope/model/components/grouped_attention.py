"""Attention whose keys and values are shared by groups of query heads."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from mechscope.model.components.attention import Attention
from mechscope.model.components.rotary import RotaryTable
from mechscope.model.config import ConfigLike, HookedTransformerConfig

SHARED = ("W_K", "W_V", "b_K", "b_V")


class GroupedQueryAttention(Attention):
    """Attention with one slice of `_W_K`, `_W_V`, `_b_K` and `_b_V` for each key/value head.

    `W_K` and the like are copies with a slice for each query head; change the weights through `_W_K`.

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
                "grouped-query attention needs a config with n_key_value_heads below n_heads; Attention is the "
                "class for heads with keys and values of their own."
            )
        super().__init__(cfg, attn_type, layer_id, rotary)

    @property
    def W_K(self) -> torch.Tensor:  # type: ignore[override]
        """Key weights, a slice for each query head [head d_model d_head]."""
        return self._shown_by_query_head("W_K")

    @property
    def W_V(self) -> torch.Tensor:  # type: ignore[override]
        """Value weights, a slice for each query head [head d_model d_head]."""
        return self._shown_by_query_head("W_V")

    @property
    def b_K(self) -> torch.Tensor:  # type: ignore[override]
        """Key biases, a slice for each query head [head d_head]."""
        return self._shown_by_query_head("b_K")

    @property
    def b_V(self) -> torch.Tensor:  # type: ignore[override]
        """Value biases, a slice for each query head [head d_head]."""
        return self._shown_by_query_head("b_V")


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
