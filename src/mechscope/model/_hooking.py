"""Name the hook points of a module, and add hooks to them: permanently, or for the length of a `with` block."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from torch import nn

from mechscope.arguments import check_switches
from mechscope.model._hook_requests import AddedHooks, HookPairs, check_hook, check_level, hook_pairs
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
from mechscope.near_names import near_names


class Hooking(nn.Module):
    """The hooks of a module: `hook_dict`, `add_hook`, `hooks`, `run_with_hooks`, `reset_hooks`."""

    def __init__(self) -> None:
        super().__init__()
        self.is_caching = False
        self._passes = 0

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

    # Select hook points by name ---------------------------------------------------------------

    def hook_points(self) -> Iterable[HookPoint]:
        """Every hook point, in the order of definition."""
        return self.hook_dict.values()

    def optional_hook_names(self) -> frozenset[str]:
        """Names of the points that are cached only if they are named; empty unless a subclass says otherwise."""
        return frozenset()

    def match_hook_names(self, names: NamesFilter) -> list[str]:
        """The hook names that a name, a list of names or a predicate selects.

        None selects every point except the optional ones.

        Raises:
            KeyError: for a name that this model does not have; suggests the nearest ones.
            ValueError: for a predicate that matches nothing.
            TypeError: for anything else.
        """
        if names is None:
            optional = self.optional_hook_names()
            return [name for name in self.hook_dict if name not in optional]
        if isinstance(names, str):
            return [self._checked_name(names)]
        if callable(names):
            matched = [name for name in self.hook_dict if names(name)]
            if not matched:
                raise ValueError(
                    f"the predicate {describe(names)} matches none of the {len(self.hook_dict)} hook names; "
                    f"they look like {', '.join(repr(name) for name in itertools.islice(self.hook_dict, 3, 6))}."
                )
            return matched
        if isinstance(names, (list, tuple, set, frozenset)):
            return [self._checked_name(name) for name in names]
        raise TypeError(
            f"a hook is chosen by a name, a list of names or a predicate, not {type(names).__name__}."
        )

    def _checked_name(self, name: object) -> str:
        if not isinstance(name, str):
            raise TypeError(f"a hook name is a string, not {type(name).__name__} ({name!r}).")
        if name in self.hook_dict:
            return name
        reason = self.why_absent(name)
        # A short name such as "resid_pre" is the end of several full names.
        near = [known for known in self.hook_dict if known.endswith(f"hook_{name}")][:3]
        near = near or near_names(name, self.hook_dict)
        hint = f" The nearest names are {', '.join(map(repr, near))}." if near else ""
        raise KeyError(f"no hook point is called {name!r}{reason}.{hint}")

    def why_absent(self, name: str) -> str:
        """The reason, for an error, why this model has no such hook point; empty unless a subclass knows it."""
        return ""

    def list_hooks(
        self,
        name_filter: NamesFilter = None,
        dir: Literal["fwd", "bwd", "both"] = "both",
        including_permanent: bool = True,
    ) -> dict[str, list[Listener]]:
        """The active hooks by the name of their hook point; points without hooks are omitted.

        Args:
            name_filter: a name, a list of names or a predicate; None means every point.
            dir: only one direction.
            including_permanent: also hooks that `reset_hooks` leaves in place.

        Raises:
            KeyError: for a name that this model does not have.
        """
        names = list(self.hook_dict) if name_filter is None else self.match_hook_names(name_filter)
        found = {name: self.hook_dict[name].hooks_in(dir, including_permanent) for name in names}
        return {name: listeners for name, listeners in found.items() if listeners}

    # Add and remove hooks ---------------------------------------------------------------------

    @property
    def context_level(self) -> int:
        """How many `with model.hooks(...)` blocks surround the running code."""
        return len(open_scopes(self))

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
        """Add `hook` to the points that `name` selects.

        It stays until `reset_hooks` and acts on every run of the model in any thread. Prefer
        `with model.hooks(...)`, which removes it automatically.

        Args:
            name: a name, a list of names or a predicate.
            hook: a function that is called as `hook(activation, hook=point)`.
            dir: "fwd" for activations, "bwd" for their gradients.
            is_permanent: leave it in place in `reset_hooks`.
            level: the context level that it belongs to.
            prepend: call it before the hooks that are already there.
            reads_only: it neither edits nor replaces the activation, so it needs no copy.
            scope: it only sees runs inside this `hook_scope`.

        Raises:
            KeyError: for a name that this model does not have.
            TypeError: for a function that cannot be called as a hook.
        """
        check_hook(name, hook)
        check_switches(is_permanent=is_permanent, prepend=prepend, reads_only=reads_only)
        check_level(level)
        added = []
        for matched in self.match_hook_names(name):
            point = self.hook_dict[matched]
            self.check_hooks_to_add(point, matched, hook, dir, is_permanent, prepend)
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
        """Refuse a hook that could never work; a subclass may override this."""

    def check_and_add_hook(
        self,
        hook_point: HookPoint,
        hook_point_name: str,
        hook: HookFunction,
        dir: Direction = "fwd",
        is_permanent: bool = False,
        level: int | None = None,
        prepend: bool = False,
    ) -> None:
        """Add a hook to one hook point, after `check_hooks_to_add` has accepted it."""
        self.check_hooks_to_add(
            hook_point, hook_point_name, hook, dir=dir, is_permanent=is_permanent, prepend=prepend
        )
        hook_point.add_hook(hook, dir=dir, is_permanent=is_permanent, level=level, prepend=prepend)

    def add_perma_hook(self, name: NamesFilter, hook: HookFunction, dir: Direction = "fwd") -> None:
        """Add a hook that `reset_hooks` leaves in place."""
        self.add_hook(name, hook, dir, is_permanent=True)

    def remove_all_hook_fns(
        self,
        direction: Literal["fwd", "bwd", "both"] = "both",
        including_permanent: bool = False,
        level: int | None = None,
    ) -> None:
        """Remove the hooks of every point (see `HookPoint.remove_hooks`)."""
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
        """Remove every hook that is not permanent."""
        if clear_contexts:
            self.clear_contexts()
        self.remove_all_hook_fns(direction, including_permanent, level)
        self.is_caching = False

    # Run with hooks ---------------------------------------------------------------------------

    @contextmanager
    def hooks(
        self,
        fwd_hooks: Sequence[tuple[NamesFilter, HookFunction]] = (),
        bwd_hooks: Sequence[tuple[NamesFilter, HookFunction]] = (),
        reset_hooks_end: bool = True,
        clear_contexts: bool = False,
    ) -> Generator[Hooking]:
        """Add hooks for the length of a `with` block; exactly these are removed at its end.

        Runs in other threads or asyncio tasks are not affected, except in tasks that were started inside the block.

        Args:
            fwd_hooks: (name, function) pairs for activations; a list of names or a predicate may replace the name.
            bwd_hooks: the same for gradients. They also fire in a backward pass after the block, if its forward
                pass ran inside.
            reset_hooks_end: False leaves the hooks in place (until `reset_hooks`).
            clear_contexts: also forget what hooks stored in their points' `ctx`.

        Raises:
            TypeError: for anything but (name, function) pairs, or a function that cannot be called as a hook.
            RuntimeError: at the end of the block, if the model ran but a forward hook did not fire or a backward
                hook never can.
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
        forward: HookPairs,
        backward: HookPairs,
        reset_hooks_end: bool,
        clear_contexts: bool,
        *,
        reads_only: bool = False,
    ) -> Generator[AddedHooks]:
        with hook_scope(self) as scope:
            added = AddedHooks(scope)
            try:
                directions: tuple[tuple[Direction, HookPairs], ...] = (("fwd", forward), ("bwd", backward))
                for direction, pairs in directions:
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
        """Run one forward pass with hooks (see `hooks`) and return its output."""
        with self.hooks(fwd_hooks, bwd_hooks, reset_hooks_end, clear_contexts):
            return self(*model_args, **model_kwargs)
