"""Hook points: the places in a network where an activation can be read or replaced.

A `HookPoint` is an identity function with a name. While nobody listens it costs one attribute
look-up; a listener sees the activation and may return another one in its place. The module that
holds the points, and adds listeners through contexts, is in `hooked_root_module.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from mechscope.model.hook_introspection import HookPointIntrospection

Direction = Literal["fwd", "bwd"]
HookFunction = Callable[..., Any]
NamePredicate = Callable[[str], bool]
NamesFilter = str | Sequence[str] | NamePredicate | None
DIRECTIONS = ("fwd", "bwd", "both")


@dataclass
class Listener:
    """One hook function on one hook point."""

    hook: HookFunction
    is_permanent: bool = False
    context_level: int | None = None
    reads_only: bool = False
    """The function neither edits nor replaces the activation (the cache's own hooks)."""
    fired: int = 0
    label: str = ""
    """What the caller called the place, to name in errors."""
    by_position: bool = False
    """The function treats every example and position by itself, so it may be shown some of them only."""
    width: int = 0
    """How many numbers of its own the function makes for a position, for whoever budgets memory."""

    @property
    def user_hook(self) -> HookFunction:
        """The function, by its classic name."""
        return self.hook


class HookPoint(HookPointIntrospection, nn.Module):
    """An identity function that lets listeners read, edit or replace what passes.

    A listener is called as `hook(activation, hook=hook_point)`. It may return None (keep the
    activation, in-place edits included) or a tensor of the same shape and dtype. What it gets is a
    copy of its own, so an in-place edit reaches everything downstream and nothing else.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fwd_hooks: list[Listener] = []
        self.bwd_hooks: list[Listener] = []
        self.ctx: dict[str, Any] = {}
        self.name: str | None = None

    @property
    def watched(self) -> bool:
        """Whether anything listens here."""
        return bool(self.fwd_hooks or self.bwd_hooks or self._forward_hooks or self._backward_hooks)

    @property
    def needs_all_positions(self) -> bool:
        """Whether somebody listens who must be shown whole activations."""
        if self.bwd_hooks or self._forward_hooks or self._backward_hooks:
            return True
        return not all(listener.by_position for listener in self.fwd_hooks)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if not (self.fwd_hooks or self.bwd_hooks or self._forward_hooks or self._backward_hooks):
            return x
        return super().__call__(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The activation as the listeners leave it."""
        activation = self._tell(self.fwd_hooks, x)
        if self.bwd_hooks and activation.requires_grad:
            # The alias has no other user, so its gradient is the one that flows out of this point,
            # even where neighbouring points hold the same tensor.
            activation = activation.view_as(activation)
            listeners = list(self.bwd_hooks)
            activation.register_hook(lambda gradient: self._tell(listeners, gradient))
        return activation

    def _tell(self, listeners: Iterable[Listener], activation: torch.Tensor) -> torch.Tensor:
        ours = False  # whether no one else can hold a reference to `activation`
        for listener in list(listeners):
            if listener.reads_only:
                listener.hook(activation, hook=self)
                ours = False
            else:
                if not ours:
                    activation = activation.clone()
                result = _unpack(listener.hook(activation, hook=self))
                ours = result is None or result is activation
                if result is not None:
                    self._check(listener, result, activation)
                    activation = result
            listener.fired += 1
        return activation

    def _check(self, listener: Listener, result: object, activation: torch.Tensor) -> None:
        who = f"the hook {describe(listener.hook)} on {self.name!r}"
        if not isinstance(result, torch.Tensor):
            raise TypeError(
                f"{who} returned a {type(result).__name__}; return a tensor of shape "
                f"{tuple(activation.shape)} to replace the activation, or None to keep it."
            )
        if result.shape != activation.shape:
            raise ValueError(
                f"{who} returned shape {tuple(result.shape)}; the activation has shape "
                f"{tuple(activation.shape)} and its replacement must have it too."
            )
        if result.dtype != activation.dtype:
            raise ValueError(
                f"{who} returned {result.dtype}; the activation is {activation.dtype}: "
                f"convert with .to({activation.dtype})."
            )

    def add_hook(
        self,
        hook: HookFunction,
        dir: Direction = "fwd",
        is_permanent: bool = False,
        level: int | None = None,
        prepend: bool = False,
        *,
        reads_only: bool = False,
        label: str = "",
        by_position: bool = False,
        width: int = 0,
    ) -> Listener:
        """Add a listener for activations (`dir="fwd"`) or their gradients (`dir="bwd"`); see `Listener`."""
        if dir not in ("fwd", "bwd"):
            raise ValueError(f"dir must be 'fwd' or 'bwd', not {dir!r}.")
        if not callable(hook):
            raise TypeError(f"a hook must be a function of (activation, hook), not {hook!r}.")
        name = label or (self.name or "")
        listener = Listener(
            hook, is_permanent, level, reads_only, label=name, by_position=by_position, width=width
        )
        listeners = self.fwd_hooks if dir == "fwd" else self.bwd_hooks
        listeners.insert(0 if prepend else len(listeners), listener)
        return listener

    def add_perma_hook(self, hook: HookFunction, dir: Direction = "fwd") -> Listener:
        """Add a listener that `reset_hooks` leaves in place."""
        return self.add_hook(hook, dir, is_permanent=True)

    def remove_hooks(
        self,
        dir: Literal["fwd", "bwd", "both"] = "fwd",
        including_permanent: bool = False,
        level: int | None = None,
    ) -> None:
        """Take listeners off: all, or those of one context level; permanent ones only if asked."""
        if dir not in DIRECTIONS:
            raise ValueError(f"dir must be one of {DIRECTIONS}, not {dir!r}.")

        def stays(listener: Listener) -> bool:
            if including_permanent:
                return False
            if listener.is_permanent:
                return True
            return level is not None and listener.context_level != level

        if dir in ("fwd", "both"):
            self.fwd_hooks = [listener for listener in self.fwd_hooks if stays(listener)]
        if dir in ("bwd", "both"):
            self.bwd_hooks = [listener for listener in self.bwd_hooks if stays(listener)]

    def discard(self, listener: Listener) -> None:
        """Take one listener off, wherever it is."""
        self.fwd_hooks = [other for other in self.fwd_hooks if other is not listener]
        self.bwd_hooks = [other for other in self.bwd_hooks if other is not listener]

    def take_listeners(self, other: HookPoint) -> None:
        """Listen for everyone who listens to `other`, and remember what they noted there."""
        self.fwd_hooks, self.bwd_hooks, self.ctx = other.fwd_hooks, other.bwd_hooks, other.ctx

    def clear_context(self) -> None:
        """Forget what hooks stored in `ctx`."""
        self.ctx.clear()

    def layer(self) -> int:
        """The block this point belongs to, read from its name (`blocks.3.…` gives 3)."""
        parts = (self.name or "").split(".")
        if len(parts) < 2 or not parts[1].isdigit():
            raise ValueError(f"the hook point {self.name!r} belongs to no layer.")
        return int(parts[1])


def _unpack(result: Any) -> Any:
    return result[0] if isinstance(result, tuple) and len(result) == 1 else result


def describe(thing: object) -> str:
    """What to call a hook, a name or a predicate in an error."""
    if callable(thing):
        return getattr(thing, "__name__", None) or type(thing).__name__
    return repr(thing)
