"""The activations of one pass, by hook name.

The methods that decompose the residual stream are in `_residual_decomposition.py`,
`_head_and_neuron_results.py` and `_direct_logit_attribution.py`.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import TYPE_CHECKING, Any

import torch

from mechscope.arguments import shown
from mechscope.model._display import cache_as_html, cache_as_text
from mechscope.model._head_and_neuron_results import HeadAndNeuronResults
from mechscope.model._lent_memory import own_copy
from mechscope.model.devices import check_device
from mechscope.model.names import get_act_name
from mechscope.model.slice import Slice
from mechscope.near_names import near_names

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer


class ActivationCache(HeadAndNeuronResults):
    """Activations by hook name; `cache["pattern", 0]` is short for `cache["blocks.0.attn.hook_pattern"]`.

    Args:
        cache_dict: from hook names to activations.
        model: the model that computed them.
        has_batch_dim: whether they have a leading batch axis.

    Raises:
        TypeError: for anything but tensors by hook name, and the model that computed them.

    >>> from mechscope.model.transformer import HookedTransformer
    >>> model = HookedTransformer({"n_layers": 2, "d_model": 8, "n_ctx": 4, "d_head": 4, "d_vocab": 5,
    ...                            "attn_only": True, "seed": 0})
    >>> _, cache = model.run_with_cache(torch.tensor([[0, 1, 2]]))
    >>> cache["resid_post", -1].shape
    torch.Size([1, 3, 8])
    """

    def __init__(
        self, cache_dict: dict[str, torch.Tensor], model: HookedTransformer, has_batch_dim: bool = True
    ) -> None:
        if not isinstance(cache_dict, Mapping) or not hasattr(model, "cfg"):
            raise TypeError(
                "a cache is made from activations by hook name and the model that computed them: "
                f"ActivationCache({{name: tensor}}, model), not {shown(cache_dict)} and {shown(model)}."
            )
        for name, value in cache_dict.items():
            if not isinstance(name, str) or not isinstance(value, torch.Tensor):
                raise TypeError(f"a cache holds tensors by hook name, not {shown(value)} under {name!r}.")
        self.cache_dict = cache_dict
        self.model = model
        self.has_batch_dim = has_batch_dim

    @property
    def has_embed(self) -> bool:
        """Whether the cache holds the token embedding."""
        return "hook_embed" in self.cache_dict

    @property
    def has_pos_embed(self) -> bool:
        """Whether the cache holds the position embedding."""
        return "hook_pos_embed" in self.cache_dict

    # A dictionary ---------------------------------------------------------------------------

    def __getitem__(self, key: str | tuple[Any, ...]) -> torch.Tensor:
        """An activation by full name, or by short name, layer and part: `cache["q", 3]`, `cache["scale", 0, "ln1"]`.

        A negative layer counts from the end.

        Raises:
            KeyError: for an activation that the cache does not hold; suggests the nearest names.
        """
        name = self._full_name(key)
        if name in self.cache_dict:
            return self.cache_dict[name]
        near = near_names(name, self.cache_dict)
        hint = f" The nearest names in it are {', '.join(map(repr, near))}." if near else ""
        known = getattr(self.model, "hook_dict", {})
        why = (
            " The model has this point, but it was not kept: name it in names_filter."
            if name in known
            else getattr(self.model, "why_absent", lambda _: "")(name)
        )
        raise KeyError(f"this cache holds no {name!r}.{why}{hint}")

    def _full_name(self, key: str | tuple[Any, ...]) -> str:
        if isinstance(key, str):
            return key if key in self.cache_dict else get_act_name(key)
        parts = list(key)
        n_layers = self.model.cfg.n_layers
        if len(parts) > 1 and isinstance(parts[1], int) and parts[1] < 0:
            if parts[1] < -n_layers:
                raise KeyError(
                    f"layer {parts[1]} of {parts[0]!r} counts from the end, and this model has {n_layers} layers."
                )
            parts[1] += n_layers
        return get_act_name(*parts)

    def __contains__(self, key: object) -> bool:
        try:
            return self._full_name(key) in self.cache_dict  # type: ignore[arg-type]
        except (KeyError, ValueError, TypeError):
            return False

    def __len__(self) -> int:
        return len(self.cache_dict)

    def __iter__(self) -> Iterator[str]:
        return iter(self.cache_dict)

    def keys(self) -> KeysView[str]:
        """Hook names, in the order in which the pass reached them."""
        return self.cache_dict.keys()

    def values(self) -> ValuesView[torch.Tensor]:
        """Activations, in the order in which the pass computed them."""
        return self.cache_dict.values()

    def items(self) -> ItemsView[str, torch.Tensor]:
        """(hook name, activation) pairs."""
        return self.cache_dict.items()

    def __repr__(self) -> str:
        return cache_as_text(self)

    def _repr_html_(self) -> str:
        return cache_as_html(self)

    # The cache as a whole -------------------------------------------------------------------

    def to(self, device: torch.device | str, move_model: bool = False) -> ActivationCache:
        """Move the activations to a device, and with `move_model` the model too."""
        device = check_device(device)
        self.cache_dict = {name: value.to(device) for name, value in self.items()}
        if move_model:
            self.model.to(device)
        return self

    def toggle_autodiff(self, mode: bool = False) -> None:
        """Switch gradients on or off for all of torch, as the classic method does."""
        if not isinstance(mode, bool):
            raise TypeError(f"mode is True or False, not {mode!r}.")
        torch.set_grad_enabled(mode)

    def remove_batch_dim(self) -> ActivationCache:
        """Drop the leading axis of a batch of one, in place; returns the cache.

        Raises:
            ValueError: for a larger batch.
        """
        if self.has_batch_dim:
            for name, value in self.items():
                if value.shape[0] != 1:
                    raise ValueError(f"remove_batch_dim needs a batch of 1; {name!r} has {value.shape[0]}.")
            self.cache_dict = {name: value[0] for name, value in self.items()}
            self.has_batch_dim = False
        return self

    def apply_slice_to_batch_dim(self, batch_slice: Slice | Any) -> ActivationCache:
        """A cache of part of the batch: a slice, a list of indices, or one index (which drops the axis).

        It holds copies, so that the memory of the rest can be freed.

        Raises:
            ValueError: for a cache without a batch axis.
        """
        batch_slice = Slice.unwrap(batch_slice)
        if not self.has_batch_dim:
            if batch_slice.mode == "identity":
                return self
            raise ValueError("this cache has no batch axis to slice.")
        sliced = {name: own_copy(batch_slice.apply(value, dim=0)) for name, value in self.items()}
        return ActivationCache(sliced, self.model, has_batch_dim=batch_slice.mode != "int")
