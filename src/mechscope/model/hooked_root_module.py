"""A module whose hook points have names: hooks by name, for a while, and a cache of activations.

Listeners are added through contexts that remember exactly which are theirs and take them off
again, whatever happens in between.
"""

from __future__ import annotations

import copy
import itertools
import warnings
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import torch
from torch import nn

from mechscope.arguments import check_switches
from mechscope.model.caching_hooks import caching_hook
from mechscope.model.devices import check_device
from mechscope.model.gradients import refuse_inference_mode, usable_in_training
from mechscope.model.hook_arguments import check_hook, hook_pairs
from mechscope.model.hook_introspection import HookIntrospectionMixin, OlderHookNames
from mechscope.model.hook_points import (
    Direction,
    HookFunction,
    HookPoint,
    HookScope,
    Listener,
    NamesFilter,
    describe,
    hook_scope,
    open_scopes,
)
from mechscope.model.lent_memory import borrowing
from mechscope.model.pass_keywords import check_keywords
from mechscope.model.slice import Slice
from mechscope.near_names import near_names

_Pairs = Sequence[tuple[NamesFilter, HookFunction]]


@dataclass
class _Added:
    """The listeners of one context, grouped by what the caller asked for."""

    scope: HookScope
    requests: list[tuple[str, Direction, list[tuple[HookPoint, Listener]]]] = field(default_factory=list)

    def never_fired(self) -> list[str]:
        """Forward hooks that no activation reached."""
        return [
            request
            for request, direction, added in self.requests
            if direction == "fwd" and not any(listener.fired for _, listener in added)
        ]

    def never_connected(self) -> list[str]:
        """Backward hooks that no gradient can reach; others may still fire in a later backward pass."""
        return [
            request
            for request, direction, added in self.requests
            if direction == "bwd" and not any(listener.connected for _, listener in added)
        ]

    def remove(self) -> None:
        for _, _, added in self.requests:
            for point, listener in added:
                point.discard(listener)

    def keep(self) -> None:
        """Give the listeners to the model: from now on they see every run."""
        for _, _, added in self.requests:
            for _, listener in added:
                listener.scope = None


class HookedRootModule(HookIntrospectionMixin, OlderHookNames, nn.Module):
    """A module whose hook points have names.

    A subclass calls `self.setup()` at the end of its `__init__`; after that every `HookPoint`
    inside it is in `hook_dict` under its dotted name.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        self.is_caching = False
        self._passes = 0

    @property
    def context_level(self) -> int:
        """How many `with model.hooks(...)` blocks surround the running code."""
        return len(open_scopes(self))

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A copy that can be trained, even if it is made in inference mode."""
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        with torch.inference_mode(False):
            twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin

    def setup(self) -> None:
        """Name every module and hook point below this one."""
        self.mod_dict: dict[str, nn.Module] = {}
        self.hook_dict: dict[str, HookPoint] = {}
        for name, module in self.named_modules():
            if name == "":
                continue
            module.name = name  # type: ignore[assignment]
            self.mod_dict[name] = module
            if isinstance(module, HookPoint):
                self.hook_dict[name] = module

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs:
            check_keywords(type(self), kwargs)
        self._passes += 1
        for scope in open_scopes(self):
            scope.passes += 1
        args = tuple(usable_in_training(value) for value in args)
        kwargs = {name: usable_in_training(value) for name, value in kwargs.items()}
        with borrowing(self, args, kwargs):
            return super().__call__(*args, **kwargs)

    def hook_points(self) -> Iterable[HookPoint]:
        """Every hook point, in the order of definition."""
        return self.hook_dict.values()

    def optional_hook_names(self) -> frozenset[str]:
        """Points that are computed only when asked for by name; a subclass says which."""
        return frozenset()

    # Which points a caller means ------------------------------------------------------------

    def match_hook_names(self, names: NamesFilter) -> list[str]:
        """The hook names that a name, a list of names or a predicate selects.

        None selects every point but the optional ones.

        Raises:
            KeyError: for a name that this model does not have, with the nearest ones.
            ValueError: for a predicate that matches nothing.
            TypeError: for anything else.
        """
        if names is None:
            optional = self.optional_hook_names()
            return [name for name in self.hook_dict if name not in optional]
        if isinstance(names, str):
            return [self._known(names)]
        if callable(names):
            matched = [name for name in self.hook_dict if names(name)]
            if not matched:
                raise ValueError(
                    f"the predicate {describe(names)} matches none of the {len(self.hook_dict)} hook names; "
                    f"they look like {', '.join(repr(name) for name in itertools.islice(self.hook_dict, 3, 6))}."
                )
            return matched
        if isinstance(names, (list, tuple, set, frozenset)):
            return [self._known(name) for name in names]
        raise TypeError(
            f"a hook is chosen by a name, a list of names or a predicate, not {type(names).__name__}."
        )

    def _known(self, name: object) -> str:
        if not isinstance(name, str):
            raise TypeError(f"a hook name is a string, not {type(name).__name__} ({name!r}).")
        if name in self.hook_dict:
            return name
        reason = self.why_absent(name)
        # A short name such as "resid_pre" is the end of several full ones.
        near = [known for known in self.hook_dict if known.endswith(f"hook_{name}")][:3]
        near = near or near_names(name, self.hook_dict)
        hint = f" The nearest names are {', '.join(map(repr, near))}." if near else ""
        raise KeyError(f"no hook point is called {name!r}{reason}.{hint}")

    def why_absent(self, name: str) -> str:
        """What to add to the error about a name that this model lacks; a subclass may know why."""
        return ""

    # Adding and removing --------------------------------------------------------------------

    def add_hook(
        self,
        name: NamesFilter,
        hook: HookFunction,
        dir: Direction = "fwd",
        is_permanent: bool = False,
        level: int | None = None,
        prepend: bool = False,
        *,
        reads_only: bool = False,
        scope: HookScope | None = None,
    ) -> list[tuple[HookPoint, Listener]]:
        """Add `hook` to the points that `name` (a name, a list or a predicate) selects.

        It stays until `reset_hooks` and acts on every run of the model in any thread. Prefer
        `with model.hooks(...)`, which removes it automatically. `scope` limits it to runs inside a `hook_scope`.
        """
        check_hook(name, hook)
        check_switches(is_permanent=is_permanent, prepend=prepend, reads_only=reads_only)
        _check_level(level)
        added = []
        for matched in self.match_hook_names(name):
            self.check_hooks_to_add(self.hook_dict[matched], matched, hook, dir, is_permanent, prepend)
            point = self.hook_dict[matched]
            listener = point.add_hook(
                hook, dir, is_permanent, level, prepend, reads_only=reads_only, scope=scope
            )
            added.append((point, listener))
        return added

    def check_hooks_to_add(
        self,
        hook_point: HookPoint,
        hook_point_name: str,
        hook: HookFunction,
        dir: Direction = "fwd",
        is_permanent: bool = False,
        prepend: bool = False,
    ) -> None:
        """Refuse a hook that could never work; a subclass overrides it."""

    def add_perma_hook(
        self,
        name: NamesFilter,
        hook: HookFunction,
        dir: Direction = "fwd",
    ) -> None:
        """Add a hook that `reset_hooks` leaves in place."""
        self.add_hook(name, hook, dir, is_permanent=True)

    def remove_all_hook_fns(
        self,
        direction: Literal["fwd", "bwd", "both"] = "both",
        including_permanent: bool = False,
        level: int | None = None,
    ) -> None:
        """Take listeners off every point (see `HookPoint.remove_hooks`)."""
        for point in self.hook_points():
            point.remove_hooks(direction, including_permanent, level)

    def clear_contexts(self) -> None:
        """Forget what hooks stored in their points' `ctx`."""
        for point in self.hook_points():
            point.clear_context()

    def reset_hooks(
        self,
        clear_contexts: bool = True,
        direction: Literal["fwd", "bwd", "both"] = "both",
        including_permanent: bool = False,
        level: int | None = None,
    ) -> None:
        """Take every hook off that is not permanent."""
        if clear_contexts:
            self.clear_contexts()
        self.remove_all_hook_fns(direction, including_permanent, level)
        self.is_caching = False

    # Running --------------------------------------------------------------------------------

    @contextmanager
    def hooks(
        self,
        fwd_hooks: Sequence[tuple[NamesFilter, HookFunction]] = (),
        bwd_hooks: Sequence[tuple[NamesFilter, HookFunction]] = (),
        reset_hooks_end: bool = True,
        clear_contexts: bool = False,
    ) -> Generator[HookedRootModule]:
        """Hooks for the length of a `with` block; exactly these come off at its end.

        Runs that other threads or asyncio tasks make in the meantime are not affected; tasks that are started inside
        the block do.

        Args:
            fwd_hooks: (name, list of names or predicate; function) pairs for activations.
            bwd_hooks: the same for gradients. A pass that ran inside the block keeps telling them
                when its backward pass comes later.
            reset_hooks_end: False leaves them on (until `reset_hooks`).
            clear_contexts: also forget what hooks stored in their points' `ctx`.

        Raises:
            TypeError: for anything but (name, function) pairs, or a function that cannot be called as a hook is.
            RuntimeError: at the end of the block, where the model ran and a forward hook never did, or a backward hook
                never can.
        """
        fwd_hooks, bwd_hooks = hook_pairs(fwd_hooks, "fwd_hooks"), hook_pairs(bwd_hooks, "bwd_hooks")
        check_switches(reset_hooks_end=reset_hooks_end, clear_contexts=clear_contexts)
        passes = self._passes
        with self._listening(fwd_hooks, bwd_hooks, reset_hooks_end, clear_contexts) as added:
            yield self
            if added.scope.passes and (unconnected := added.never_connected()):
                raise RuntimeError(
                    f"the backward hook on {', '.join(unconnected)} can never fire: the pass did not reach that point, "
                    "or ran without gradients (torch.no_grad, inference mode, or parameters that need none)."
                )
            silent = added.never_fired()
            if not silent or self._passes == passes:
                return
            if added.scope.passes:
                raise RuntimeError(
                    f"the hook on {', '.join(silent)} never fired, so it changed nothing: the forward pass did not "
                    "reach that point (was it stopped or started at another layer?)."
                )
            warnings.warn(
                f"the hook on {', '.join(silent)} never fired: the model ran in other threads or tasks only, and "
                "hooks of a `with` block act on the thread or task that entered it. Enter the block there, start "
                "the work with asyncio.to_thread or contextvars.copy_context().run, or use model.add_hook.",
                stacklevel=3,
            )

    @contextmanager
    def _listening(
        self,
        forward: _Pairs,
        backward: _Pairs,
        reset_hooks_end: bool,
        clear_contexts: bool,
        *,
        reads_only: bool = False,
    ) -> Generator[_Added]:
        with hook_scope(self) as scope:
            added = _Added(scope)
            try:
                for direction, pairs in _both(forward, backward):
                    for name, hook in pairs:
                        listeners = self.add_hook(
                            name,
                            hook,
                            direction,
                            level=self.context_level,
                            reads_only=reads_only,
                            scope=scope,
                        )
                        added.requests.append((describe(name), direction, listeners))
                yield added
            finally:
                if not reset_hooks_end:
                    added.keep()
                else:
                    added.remove()
                    if clear_contexts:
                        self.clear_contexts()

    def run_with_hooks(
        self,
        *model_args: Any,
        fwd_hooks: Sequence[tuple[NamesFilter, HookFunction]] = (),
        bwd_hooks: Sequence[tuple[NamesFilter, HookFunction]] = (),
        reset_hooks_end: bool = True,
        clear_contexts: bool = False,
        **model_kwargs: Any,
    ) -> Any:
        """One forward pass with hooks (see `hooks`); returns what the forward pass returns."""
        with self.hooks(fwd_hooks, bwd_hooks, reset_hooks_end, clear_contexts):
            return self(*model_args, **model_kwargs)

    def _without_optional(self, names: list[str]) -> list[str]:
        """A predicate's matches without the optional points of blocks that it matches whole.

        Whoever asks for everything in a block wants what the pass computes there, as the classic class gives it, and
        not to change how it is computed (inputs split by head).
        """
        optional, chosen = self.optional_hook_names(), set(names)
        parts = {name: name.split(".")[:2] if name.startswith("blocks.") else [] for name in self.hook_dict}
        missed = [parts[name] for name in self.hook_dict if name not in chosen and name not in optional]
        return [name for name in names if name not in optional or parts[name] in missed]

    def get_caching_hooks(
        self,
        names_filter: NamesFilter = None,
        incl_bwd: bool = False,
        device: torch.device | str | None = None,
        remove_batch_dim: bool = False,
        cache: dict[str, torch.Tensor] | None = None,
        pos_slice: Any = None,
    ) -> tuple[dict[str, torch.Tensor], list[tuple[str, HookFunction]], list[tuple[str, HookFunction]]]:
        """A dictionary and the (name, function) pairs that fill it during a pass."""
        check_switches(incl_bwd=incl_bwd, remove_batch_dim=remove_batch_dim)
        device = None if device is None else check_device(device)
        cache = {} if cache is None else cache
        chosen = None if pos_slice is None else Slice.unwrap(pos_slice)
        if chosen is not None and chosen is not pos_slice and isinstance(chosen.slice, int):
            chosen = Slice([chosen.slice])  # as in the classic library, one position keeps its axis

        def keep(suffix: str) -> HookFunction:
            return caching_hook(cache, suffix, device, remove_batch_dim, chosen)

        names = self.match_hook_names(names_filter)
        if callable(names_filter):
            names = self._without_optional(names)
        forward = [(name, keep("")) for name in names]
        backward = [(name, keep("_grad")) for name in names] if incl_bwd else []
        return cache, forward, backward

    def add_caching_hooks(
        self,
        names_filter: NamesFilter = None,
        incl_bwd: bool = False,
        device: torch.device | str | None = None,
        remove_batch_dim: bool = False,
        cache: dict[str, torch.Tensor] | None = None,
    ) -> dict[str, torch.Tensor]:
        """Keep activations of every pass from now on, until `reset_hooks`, in the dictionary returned."""
        cache, forward, backward = self.get_caching_hooks(
            names_filter, incl_bwd, device, remove_batch_dim, cache
        )
        for direction, pairs in _both(forward, backward):
            for name, hook in pairs:
                self.add_hook(name, hook, direction, level=self.context_level, reads_only=True)
        self.is_caching = True
        return cache

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
        """One forward pass and the activations it computed, detached.

        Args:
            names_filter: which points to keep: a name, a list, a predicate, or None for all but the
                optional ones (see `optional_hook_names`). A predicate that matches a whole block selects no
                optional ones there. What is not named is not computed where that saves work.
            device: where to keep them.
            remove_batch_dim: drop the leading axis of a batch of one.
            incl_bwd: also run backward from the output (a scalar) and keep gradients, under
                names that end in `_grad`.
            pos_slice: which positions to keep (a slice, a list of indices, or one index, which keeps its axis).

        Returns:
            the output of the pass, and a dictionary from hook names to activations.
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
                    f"{', '.join(map(repr, missing))} was asked for and never computed: the forward pass did "
                    "not reach it (was it stopped or started at another layer?)."
                )
        return output, cache


def _check_level(level: object) -> None:
    if level is not None and (isinstance(level, bool) or not isinstance(level, int)):
        raise TypeError(f"level is how many contexts deep a hook was added, a whole number, not {level!r}.")


def _both(forward: _Pairs, backward: _Pairs) -> tuple[tuple[Direction, _Pairs], tuple[Direction, _Pairs]]:
    return (("fwd", forward), ("bwd", backward))
