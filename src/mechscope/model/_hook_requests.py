"""Check the hooks that a caller adds, and keep track of whether each of them fired."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mechscope.arguments import is_whole_number
from mechscope.model.hook_points import (
    Direction,
    HookFunction,
    HookPoint,
    HookScope,
    Listener,
    NamesFilter,
    describe,
)

HookPairs = Sequence[tuple[NamesFilter, HookFunction]]


@dataclass
class AddedHooks:
    """The listeners that one context added, grouped by the caller's (name, function) pairs."""

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
        """Backward hooks that no gradient can reach; the others may still fire in a later backward pass."""
        return [
            request
            for request, direction, added in self.requests
            if direction == "bwd" and not any(listener.connected for _, listener in added)
        ]

    def remove(self) -> None:
        """Remove the listeners from their hook points."""
        for _, _, added in self.requests:
            for point, listener in added:
                point.discard(listener)

    def keep(self) -> None:
        """Give the listeners to the model: from now on they see every run."""
        for _, _, added in self.requests:
            for _, listener in added:
                listener.scope = None


def hook_pairs(hooks: Any, argument: str) -> list[tuple[NamesFilter, HookFunction]]:
    """Check (name, function) pairs and return them as a list.

    Args:
        hooks: what the caller passed.
        argument: the name of the argument, for errors.

    Raises:
        TypeError: for anything but pairs of a name and a function that `check_hook` accepts.
    """
    if isinstance(hooks, (str, Mapping)) or not isinstance(hooks, Iterable):
        raise TypeError(f"{argument} is a list of (name, function) pairs, not {hooks!r:.60}.")
    pairs = list(hooks)
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"hooks are given as (name, function) pairs, not {pair!r}.")
        check_hook(*pair)
    return pairs


def check_hook(name: Any, hook: Any) -> None:
    """Check that a hook can be called as `hook(activation, hook=point)`.

    Raises:
        TypeError: if it cannot, or if name and function are swapped.
    """
    if not callable(hook):
        order = " Were the name and the function swapped?" if callable(name) else ""
        raise TypeError(f"a hook must be a function of (activation, hook), not {hook!r}.{order}")
    if name is None:
        raise TypeError("a hook needs the name of its point, a list of names or a predicate, not None.")
    try:
        inspect.signature(hook).bind(None, hook=None)
    except TypeError as error:
        raise TypeError(
            f"a hook is called as {describe(hook)}(activation, hook=point), and this function takes other arguments "
            f"({error}): define it as def {describe(hook)}(activation, hook)."
        ) from None
    except ValueError:
        return  # a builtin without an inspectable signature


def check_level(level: object) -> None:
    """Check the number of a context level.

    Raises:
        TypeError: for anything but a whole number or None.
    """
    if level is not None and not is_whole_number(level):
        raise TypeError(f"level counts the surrounding hook contexts: a whole number, not {level!r}.")
