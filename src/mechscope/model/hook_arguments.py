"""Check the (name, function) pairs of hooks before a pass."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from mechscope.model.hook_points import HookFunction, NamesFilter, describe


def hook_pairs(hooks: Any, what: str) -> list[tuple[NamesFilter, HookFunction]]:
    """Check (name, function) pairs and return them.

    Args:
        what: the argument's name, for errors.

    Raises:
        TypeError: for anything else.
    """
    if isinstance(hooks, (str, Mapping)) or not isinstance(hooks, Iterable):
        raise TypeError(f"{what} is a list of (name, function) pairs, not {hooks!r:.60}.")
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
