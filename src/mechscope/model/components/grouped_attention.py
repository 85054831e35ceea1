"""Attention whose keys and values are shared by groups of query heads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from mechscope.model.components.attention import Attention
from mechscope.model.components.rotary import RotaryTable
from mechscope.model.config import ConfigLike, HookedTransformerConfig

SHARED = ("W_K", "W_V", "b_K", "b_V")


class GroupedQueryAttention(Attention):
    """Attention with one slice of `_W_K`, `_W_V`, `_b_K` and `_b_V` for each key/value head.

    `W_K` and its like show a slice for each query head. They are copies: to change the weights, assign
    (`attn.W_K = new`), with a slice for each key/value head or an equal one for each head of a group.

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
        return self._shown("W_K")

    @property
    def W_V(self) -> torch.Tensor:  # type: ignore[override]
        """Value weights, a slice for each query head [head d_model d_head]."""
        return self._shown("W_V")

    @property
    def b_K(self) -> torch.Tensor:  # type: ignore[override]
        """Key biases, a slice for each query head [head d_head]."""
        return self._shown("b_K")

    @property
    def b_V(self) -> torch.Tensor:  # type: ignore[override]
        """Value biases, a slice for each query head [head d_head]."""
        return self._shown("b_V")

    def _shown(self, name: str) -> torch.Tensor:
        return getattr(self, f"_{name}").repeat_interleave(self.group_size, dim=0)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in SHARED and isinstance(value, torch.Tensor):
            super().__setattr__(f"_{name}", nn.Parameter(self._to_store(name, value)))
        else:
            super().__setattr__(name, value)

    def _to_store(self, name: str, value: torch.Tensor) -> torch.Tensor:
        """`value` with one slice for each key/value head."""
        stored = getattr(self, f"_{name}")
        if value.shape == stored.shape:
            return value
        if value.shape == (self.cfg.n_heads, *stored.shape[1:]):
            groups = value.unflatten(0, (self.cfg.n_kv_heads, self.group_size))
            if not torch.equal(groups, groups[:, :1].expand_as(groups)):
                raise ValueError(
                    f"heads {self.group_size} by {self.group_size} share one slice of {name} here, and these "
                    "differ within a group; give one slice for each key/value head."
                )
            return groups[:, 0].contiguous()
        raise ValueError(f"{name} has shape {tuple(stored.shape)} here, not {tuple(value.shape)}.")


def ungroup_weights(
    cfg: HookedTransformerConfig, state_dict: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """The weights of a model whose query heads have keys and values of their own, from one where they share them."""
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
