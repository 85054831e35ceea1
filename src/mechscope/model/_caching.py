"""Run a module and keep its activations in a dictionary, by hook name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from mechscope.arguments import check_switches
from mechscope.model._hooking import Hooking
from mechscope.model._lent_memory import own_copy
from mechscope.model.devices import check_device
from mechscope.model.gradients import refuse_inference_mode
from mechscope.model.hook_points import HookFunction, HookPoint, NamesFilter
from mechscope.model.slice import Slice


class Caching(Hooking):
    """`run_with_cache`, and the hooks that it uses."""

    def run_with_cache(
        self,
        *model_args: Any,
        names_filter: NamesFilter = None,
        device: torch.device | str | None = None,
        remove_batch_dim: bool = False,
        incl_bwd: bool = False,
        reset_hooks_end: bool = True,
        clear_contexts: bool = False,
        pos_slice: Any = None,
        **model_kwargs: Any,
    ) -> tuple[Any, dict[str, torch.Tensor]]:
        """Run one forward pass and keep the activations that it computes, detached.

        Args:
            names_filter: the points to keep: a name, a list of names, a predicate, or None for all except the
                optional ones (see `optional_hook_names`). A predicate that matches a whole block leaves out the
                optional points of that block. Activations that are not kept are not computed if that saves work.
            device: where to keep them; None leaves them where they are.
            remove_batch_dim: drop the leading axis of a batch of one.
            incl_bwd: also run backward from the output, which must be a scalar, and keep the gradients under
                names that end in `_grad`.
            reset_hooks_end: False leaves the caching hooks in place.
            clear_contexts: also forget what hooks stored in their points' `ctx`.
            pos_slice: the positions to keep: a slice, a list of indices, or one index, which keeps its axis.

        Returns:
            the output of the pass, and a dictionary from hook names to activations.

        Raises:
            KeyError: for a name that this model does not have.
            RuntimeError: for a named point that the pass did not reach, or `incl_bwd` without gradients.
            ValueError: for `incl_bwd` with an output that is not a scalar.
        """
        check_switches(incl_bwd=incl_bwd, reset_hooks_end=reset_hooks_end, clear_contexts=clear_contexts)
        if incl_bwd:
            refuse_inference_mode("incl_bwd")
            if not torch.is_grad_enabled():
                raise RuntimeError("incl_bwd needs gradients: call it outside torch.no_grad().")
        cache, forward, backward = self.get_caching_hooks(
            names_filter, incl_bwd, device, remove_batch_dim, pos_slice=pos_slice
        )
        with self._listening(forward, backward, reset_hooks_end, clear_contexts, reads_only=True):
            output = self(*model_args, **model_kwargs)
            if incl_bwd:
                if not isinstance(output, torch.Tensor) or output.numel() != 1:
                    raise ValueError(
                        "incl_bwd runs backward from the output, which must be a scalar; "
                        "ask for the loss with return_type='loss'."
                    )
                output.backward()
        if names_filter is not None and not callable(names_filter):
            missing = [name for name, _ in forward if name not in cache]
            if missing:
                raise RuntimeError(
                    f"{', '.join(map(repr, missing))} was requested but never computed: the forward pass did "
                    "not reach it (was it stopped or started at another layer?)."
                )
        return output, cache

    def get_caching_hooks(
        self,
        names_filter: NamesFilter = None,
        incl_bwd: bool = False,
        device: torch.device | str | None = None,
        remove_batch_dim: bool = False,
        cache: dict[str, torch.Tensor] | None = None,
        pos_slice: Any = None,
    ) -> tuple[dict[str, torch.Tensor], list[tuple[str, HookFunction]], list[tuple[str, HookFunction]]]:
        """A dictionary, and the (name, function) pairs for activations and for gradients that fill it in a pass.

        See `run_with_cache` for the arguments; `cache` is a dictionary to fill in place of a new one.
        """
        check_switches(incl_bwd=incl_bwd, remove_batch_dim=remove_batch_dim)
        device = None if device is None else check_device(device)
        cache = {} if cache is None else cache
        chosen = None if pos_slice is None else Slice.unwrap(pos_slice)
        if chosen is not None and chosen is not pos_slice and isinstance(chosen.slice, int):
            chosen = Slice([chosen.slice])  # as in the classic library, one position keeps its axis

        def saving_hook(suffix: str) -> HookFunction:
            return _saving_hook(cache, suffix, device, remove_batch_dim, chosen)

        names = self.match_hook_names(names_filter)
        if callable(names_filter):
            names = self._without_optional(names)
        forward = [(name, saving_hook("")) for name in names]
        backward = [(name, saving_hook("_grad")) for name in names] if incl_bwd else []
        return cache, forward, backward

    def _without_optional(self, names: list[str]) -> list[str]:
        """The matches of a predicate, without the optional points of blocks that it matches completely.

        As in the classic class, everything in a block means everything that the pass computes there. The optional
        points would change how it is computed (with inputs split by head).
        """
        optional, chosen = self.optional_hook_names(), set(names)
        blocks = {name: name.split(".")[:2] if name.startswith("blocks.") else [] for name in self.hook_dict}
        incomplete = [blocks[name] for name in self.hook_dict if name not in chosen and name not in optional]
        return [name for name in names if name not in optional or blocks[name] in incomplete]

    def add_caching_hooks(
        self,
        names_filter: NamesFilter = None,
        incl_bwd: bool = False,
        device: torch.device | str | None = None,
        remove_batch_dim: bool = False,
        cache: dict[str, torch.Tensor] | None = None,
    ) -> dict[str, torch.Tensor]:
        """Keep the activations of every later pass, until `reset_hooks`, in the dictionary that is returned."""
        cache, forward, backward = self.get_caching_hooks(
            names_filter, incl_bwd, device, remove_batch_dim, cache
        )
        for name, hook in forward:
            self.add_hook(name, hook, "fwd", level=self.context_level, reads_only=True)
        for name, hook in backward:
            self.add_hook(name, hook, "bwd", level=self.context_level, reads_only=True)
        self.is_caching = True
        return cache

    # Older names, kept for classic notebooks --------------------------------------------------

    def cache_all(
        self,
        cache: dict[str, torch.Tensor] | None,
        incl_bwd: bool = False,
        device: torch.device | str | None = None,
        remove_batch_dim: bool = False,
    ) -> None:
        """Keep every activation of later passes in `cache`; `run_with_cache` is the safer way.

        Raises:
            ValueError: without a dictionary, because the activations would be lost.
        """
        self._cache_into(cache, None, incl_bwd, device, remove_batch_dim)

    def cache_some(
        self,
        cache: dict[str, torch.Tensor] | None,
        names: Callable[[str], bool] | Sequence[str] | str,
        incl_bwd: bool = False,
        device: torch.device | str | None = None,
        remove_batch_dim: bool = False,
    ) -> None:
        """Keep the activations that `names` selects in `cache` (see `cache_all`)."""
        self._cache_into(cache, names, incl_bwd, device, remove_batch_dim)

    def _cache_into(
        self, cache: Any, names: Any, incl_bwd: bool, device: Any, remove_batch_dim: bool
    ) -> None:
        if not isinstance(cache, dict):
            raise ValueError(
                f"the activations go into the dictionary that you give as `cache`, not {type(cache).__name__}; "
                "make one first: cache = {}."
            )
        self.add_caching_hooks(names, incl_bwd, device, remove_batch_dim, cache)


def _saving_hook(
    cache: dict[str, torch.Tensor],
    suffix: str,
    device: torch.device | str | None,
    remove_batch_dim: bool,
    pos_slice: Slice | None,
) -> HookFunction:
    """A hook that stores the detached activation (or gradient) in `cache`, under its point's name and `suffix`.

    Stored activations share no memory with the weights or with the inputs of the pass.
    """

    def save(activation: torch.Tensor, hook: HookPoint) -> None:
        value = activation.detach()
        if device is not None:
            value = value.to(device)
        if pos_slice is not None:
            value = pos_slice.apply(value, dim=_position_axis(hook.name or "", value))
        if remove_batch_dim:
            if value.shape[0] != 1:
                raise ValueError(f"remove_batch_dim needs a batch of 1; {hook.name!r} has {value.shape[0]}.")
            value = value[0]
        value = own_copy(value)
        # A point may fire more than once in a pass (a norm that is applied head by head). Its entry moves to the
        # end, so that the order of the dictionary is the order in which its values were computed.
        cache.pop((hook.name or "") + suffix, None)
        cache[(hook.name or "") + suffix] = value

    return save


def _position_axis(name: str, activation: torch.Tensor) -> int:
    """The axis of positions: of the queries in attention scores and patterns, the second axis elsewhere."""
    if name.endswith(("hook_attn_scores", "hook_pattern")):
        return -2
    return 1 if activation.ndim > 1 else 0
