"""Cache the keys and values of earlier tokens, so that later passes need not compute them again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from mechscope.arguments import brief_repr, is_whole_number, shown
from mechscope.model.config import HookedTransformerConfig
from mechscope.model.devices import check_device


@dataclass
class HookedTransformerKeyValueCacheEntry:
    """The keys and values of one layer."""

    past_keys: torch.Tensor
    """Keys [batch pos kv_head d_head], already rotated if positions are rotary."""
    past_values: torch.Tensor
    """Values [batch pos kv_head d_head]."""
    frozen: bool = False
    """Whether `append` leaves the entry unchanged."""

    __repr__ = brief_repr

    @classmethod
    def init_cache_entry(
        cls,
        cfg: HookedTransformerConfig,
        device: torch.device | str | None = None,
        batch_size: int = 1,
    ) -> HookedTransformerKeyValueCacheEntry:
        """An entry without positions."""

        def empty() -> torch.Tensor:
            return torch.empty(batch_size, 0, cfg.n_kv_heads, cfg.d_head, device=device, dtype=cfg.dtype)

        return cls(empty(), empty())

    def append(self, new_keys: torch.Tensor, new_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """All keys and values, the new ones last; they are stored unless the entry is frozen."""
        if self.past_keys.dtype != new_keys.dtype:
            self.past_keys, self.past_values = self.past_keys.to(new_keys), self.past_values.to(new_values)
        keys = torch.cat([self.past_keys, new_keys], dim=1)
        values = torch.cat([self.past_values, new_values], dim=1)
        if not self.frozen:
            self.past_keys, self.past_values = keys, values
        return keys, values


@dataclass
class HookedTransformerKeyValueCache:
    """The keys and values of every layer, and which positions are padding.

    `freeze()` keeps it unchanged while the model reads several continuations of the same prefix.

    >>> from mechscope.model.key_value_cache import HookedTransformerKeyValueCache
    >>> from mechscope.model.transformer import HookedTransformer
    >>> model = HookedTransformer({"n_layers": 1, "d_model": 8, "n_ctx": 4, "d_head": 4, "d_vocab": 5,
    ...                            "attn_only": True, "seed": 0})
    >>> cache = HookedTransformerKeyValueCache.init_cache(model.cfg)
    >>> tokens = torch.tensor([[0, 1, 2]])
    >>> _ = model(tokens[:, :2], past_kv_cache=cache)
    >>> torch.allclose(model(tokens[:, 2:], past_kv_cache=cache), model(tokens)[:, 2:], atol=1e-5), cache.length
    (True, 3)
    """

    entries: list[HookedTransformerKeyValueCacheEntry]
    """One entry per layer."""
    previous_attention_mask: torch.Tensor
    """True where a cached position is real [batch pos]."""
    frozen: bool = False
    """Whether passes leave the cache unchanged; set it with `freeze` and `unfreeze`."""

    __repr__ = brief_repr

    @classmethod
    def init_cache(
        cls,
        cfg: HookedTransformerConfig,
        device: torch.device | str | None = None,
        batch_size: int = 1,
    ) -> HookedTransformerKeyValueCache:
        """A cache without positions.

        Args:
            cfg: the model's config.
            device: where the cache is; None means the CPU.
            batch_size: the number of rows of the batch.

        Raises:
            TypeError: for anything but a config.
            ValueError: for an impossible batch size, or a device that this machine lacks.
        """
        cfg = getattr(cfg, "cfg", cfg)
        if not hasattr(cfg, "n_kv_heads"):
            raise TypeError(f"a key/value cache is made from a config (model.cfg), not {shown(cfg)}.")
        if not is_whole_number(batch_size, least=1):
            raise ValueError(f"batch_size is a whole number of at least 1, not {batch_size!r}.")
        device = None if device is None else check_device(device)
        entries = [
            HookedTransformerKeyValueCacheEntry.init_cache_entry(cfg, device, batch_size)
            for _ in range(cfg.n_layers)
        ]
        return cls(entries, torch.empty(batch_size, 0, dtype=torch.bool, device=device))

    @property
    def length(self) -> int:
        """The number of cached positions, padding included.

        Raises:
            ValueError: if layers hold different numbers, as after a pass that stopped at an inner layer.
        """
        if not self.entries:  # a model without layers has no keys and values
            return self.previous_attention_mask.shape[1]
        held = {entry.past_keys.shape[1] for entry in self.entries}
        if len(held) > 1:
            raise ValueError(
                f"the layers of this key/value cache hold different numbers of positions ({sorted(held)}): a pass that "
                "stopped at an inner layer filled only some of them. Make a new cache, or freeze() it before such a "
                "pass."
            )
        return held.pop()

    def check(self, cfg: HookedTransformerConfig) -> None:
        """Check that the cache was made for a model of this shape.

        Raises:
            ValueError: for a different number of layers, key/value heads or dimensions per head.
        """
        if len(self.entries) != cfg.n_layers:
            raise ValueError(
                f"the key/value cache has {len(self.entries)} layers and the model {cfg.n_layers}: it belongs to "
                "another model. Make one with HookedTransformerKeyValueCache.init_cache(model.cfg, ...)."
            )
        for layer, entry in enumerate(self.entries):
            shape = tuple(entry.past_keys.shape[2:])
            if shape != (cfg.n_kv_heads, cfg.d_head):
                raise ValueError(
                    f"layer {layer} of the key/value cache holds keys {list(shape)} [kv_head d_head], but the model's "
                    f"are {[cfg.n_kv_heads, cfg.d_head]}: it belongs to another model."
                )

    def freeze(self) -> None:
        """Let later passes read the cache without adding to it."""
        self._set_frozen(True)

    def unfreeze(self) -> None:
        """Let later passes add to the cache again."""
        self._set_frozen(False)

    def _set_frozen(self, frozen: bool) -> None:
        self.frozen = frozen
        for entry in self.entries:
            entry.frozen = frozen

    def append_attention_mask(self, attention_mask: torch.Tensor) -> torch.Tensor:
        """The mask of all positions, the new ones last [batch pos]; it is stored unless the cache is frozen.

        Raises:
            ValueError: for another batch size.
        """
        held, new = len(self.previous_attention_mask), len(attention_mask)
        if held != new:
            raise ValueError(
                f"the key/value cache holds a batch of {held}, but the new tokens are a batch of {new}; make the "
                f"cache with batch_size={new}."
            )
        mask = torch.cat([self.previous_attention_mask, attention_mask.to(torch.bool)], dim=-1)
        if not self.frozen:
            self.previous_attention_mask = mask
        return mask

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, layer: int) -> HookedTransformerKeyValueCacheEntry:
        return self.entries[layer]

    def __iter__(self) -> Iterator[HookedTransformerKeyValueCacheEntry]:
        return iter(self.entries)
