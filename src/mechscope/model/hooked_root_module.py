"""A module whose hook points have names: add hooks by name, and run with a cache of activations.

Adding and removing hooks is in `_hooking.py`, caching in `_caching.py`.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Iterable
from typing import Any, Self

import torch

from mechscope.model._caching import Caching
from mechscope.model._lent_memory import borrowing
from mechscope.model.gradients import usable_in_training
from mechscope.model.hook_points import open_scopes
from mechscope.near_names import did_you_mean


class HookedRootModule(Caching):
    """A module whose hook points have names.

    A subclass calls `self.setup()` at the end of its `__init__`; after that every `HookPoint` inside it is in
    `hook_dict` under its dotted name.

    >>> from mechscope.model.hook_points import HookPoint
    >>> class Doubler(HookedRootModule):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.hook_doubled = HookPoint()
    ...         self.setup()
    ...     def forward(self, x):
    ...         return self.hook_doubled(2 * x)
    >>> model = Doubler()
    >>> model.run_with_hooks(torch.ones(2), fwd_hooks=[("hook_doubled", lambda value, hook: value + 1)])
    tensor([3., 3.])
    >>> model.run_with_cache(torch.ones(2))[1]
    {'hook_doubled': tensor([2., 2.])}
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A copy that can be trained, even if it is made in inference mode."""
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        with torch.inference_mode(False):
            twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs:
            _check_keywords(type(self), kwargs)
        self._passes += 1
        for scope in open_scopes(self):
            scope.passes += 1
        args = tuple(usable_in_training(value) for value in args)
        kwargs = {name: usable_in_training(value) for name, value in kwargs.items()}
        with borrowing(self, args, kwargs):
            return super().__call__(*args, **kwargs)


def _check_keywords(model: type, keywords: Iterable[str]) -> None:
    """Check that the class's `forward` takes these keyword arguments.

    Raises:
        TypeError: for one that it does not take; suggests the nearest argument of `forward`, `run_with_cache` or
            `run_with_hooks`.
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
    """The names of a method's parameters; None if the class lacks it, or if `forward` takes any keyword."""
    function = cls.__dict__.get(method) if method != "forward" else getattr(cls, method)
    if function is None:
        return None
    parameters = inspect.signature(function).parameters.values()
    if method == "forward" and any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return frozenset(parameter.name for parameter in parameters)
