"""The keywords of a pass: a misspelt one is refused, whichever method of the model it was meant for."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable

from mechscope.near_names import did_you_mean


def check_keywords(model: type, keywords: Iterable[str]) -> None:
    """Compare keywords with what the class's `forward` takes.

    Raises:
        TypeError: for one that it does not take, with the nearest that it, `run_with_cache` or `run_with_hooks` does.
    """
    takes = _parameters(model, "forward")
    if takes is None:
        return
    for keyword in keywords:
        if keyword not in takes:
            others = {
                name
                for method in ("run_with_cache", "run_with_hooks")
                for base in model.__mro__
                for name in _parameters(base, method) or ()
            }
            hint = did_you_mean(keyword, sorted({*takes, *others}), n=2)
            raise TypeError(f"a pass of {model.__name__} takes no argument {keyword!r}.{hint}")


@functools.cache
def _parameters(cls: type, method: str) -> frozenset[str] | None:
    """The names of a method's parameters; None where the class lacks it or it takes any keyword."""
    function = cls.__dict__.get(method) if method != "forward" else getattr(cls, method)
    if function is None:
        return None
    parameters = inspect.signature(function).parameters.values()
    if method == "forward" and any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return frozenset(parameter.name for parameter in parameters)
