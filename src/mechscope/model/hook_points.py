"""Hook points: the places in a network where an activation can be read or replaced.

A `HookPoint` is an identity function with a name. Without listeners it costs one attribute look-up; a listener
sees the activation and may return another one in its place. `hooked_root_module.py` has the module that holds the
points, and adds listeners for the length of a `with` block.

A listener belongs either to the model, and then sees every run, or to a `HookScope` (a `with model.hooks(...)`
block), and then sees only the runs made inside that block. "Inside" follows Python's context variables: another
thread, or another asyncio task, is outside.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch
from torch import nn

from mechscope.model._lent_memory import lend

Direction = Literal["fwd", "bwd"]
HookFunction = Callable[..., Any]
NamePredicate = Callable[[str], bool]
NamesFilter = str | Sequence[str] | NamePredicate | None
DIRECTIONS = ("fwd", "bwd", "both")

# Lists of listeners are never changed in place but replaced, so that a run in another thread reads
# either the old list or the new one. The lock is for two threads that replace the same list at the same time.
_LISTENERS_LOCK = threading.Lock()


def has_torch_hooks(module: nn.Module) -> bool:
    """Whether a module has torch's own hooks (`register_forward_hook` and the like)."""
    return bool(
        module._forward_hooks
        or module._backward_hooks
        or module._forward_pre_hooks
        or module._backward_pre_hooks
    )


class HookScope:
    """A block of code whose listeners see only the runs made inside it.

    Args:
        owner: the model that the listeners are on.
    """

    def __init__(self, owner: nn.Module) -> None:
        self.owner = owner
        self.passes = 0
        """How many passes of the owner began inside."""


_SCOPES: ContextVar[tuple[HookScope, ...]] = ContextVar("hook_scopes", default=())


@contextmanager
def hook_scope(owner: nn.Module) -> Generator[HookScope]:
    """Open a scope for a `with` block, in this thread and this asyncio task.

    Work started from inside with a copy of the context (`asyncio.create_task`, `asyncio.to_thread`) is inside too.
    """
    scope = HookScope(owner)
    _SCOPES.set((*_SCOPES.get(), scope))
    try:
        yield scope
    finally:
        # Not ContextVar.reset, which fails if a generator is closed in a different context from the one that opened it.
        _SCOPES.set(tuple(other for other in _SCOPES.get() if other is not scope))


def open_scopes(owner: nn.Module) -> list[HookScope]:
    """The owner's scopes around the running code, outermost first."""
    return [scope for scope in _SCOPES.get() if scope.owner is owner]


@dataclass
class Listener:
    """One hook function on one hook point."""

    hook: HookFunction
    is_permanent: bool = False
    context_level: int | None = None
    reads_only: bool = False
    """The function neither edits nor replaces the activation (the cache's own hooks)."""
    fired: int = 0
    connected: int = 0
    """How often a backward pass could reach it because the activation had a gradient."""
    label: str = ""
    """The caller's name for the hook point, for errors."""
    by_position: bool = False
    """The function treats every example and position independently, so it may be called with only some of them."""
    width: int = 0
    """How many numbers the function allocates per position, for memory budgets."""
    scope: HookScope | None = None
    """The function sees only runs made inside this scope; None means every run."""

    @property
    def user_hook(self) -> HookFunction:
        """The function, by its classic name."""
        return self.hook


class HookPoint(nn.Module):
    """An identity function that lets listeners read, edit or replace an activation.

    A listener is called as `hook(activation, hook=hook_point)`. It may return None (keep the activation, with any
    in-place edits) or a tensor of the same shape and dtype. It gets its own copy of the activation, so an in-place
    edit reaches everything downstream and nothing else.

    >>> point = HookPoint()
    >>> listener = point.add_hook(lambda activation, hook: activation * 2)
    >>> point(torch.ones(2))
    tensor([2., 2.])
    """

    def __init__(self) -> None:
        super().__init__()
        self.fwd_hooks: list[Listener] = []
        self.bwd_hooks: list[Listener] = []
        self._main_ctx: dict[str, Any] = {}
        self.name: str | None = None

    @property
    def ctx(self) -> dict[str, Any]:
        """A dictionary in which hooks can store values; each thread has its own."""
        if threading.current_thread() is threading.main_thread():
            return self._main_ctx
        contexts = _ctx_of_thread.__dict__.setdefault("contexts", WeakKeyDictionary())
        return contexts.setdefault(self, {})

    @property
    def listeners(self) -> list[Listener]:
        """The listeners of a run that starts now: the model's and those of the open scopes."""
        return _visible(self.fwd_hooks)

    @property
    def watched(self) -> bool:
        """Whether anything here listens to a run that starts now."""
        if has_torch_hooks(self):
            return True
        if not (self.fwd_hooks or self.bwd_hooks):
            return False
        return bool(_visible(self.fwd_hooks) or _visible(self.bwd_hooks))

    @property
    def needs_all_positions(self) -> bool:
        """Whether a listener needs activations at all positions at once."""
        if has_torch_hooks(self) or _visible(self.bwd_hooks):
            return True
        return not all(listener.by_position for listener in self.listeners)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if not (
            self.fwd_hooks
            or self.bwd_hooks
            or self._forward_hooks
            or self._backward_hooks
            or self._forward_pre_hooks
            or self._backward_pre_hooks
        ):
            return x
        return super().__call__(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Call the listeners, and return the activation with their edits."""
        activation = self._call(self.listeners, x)
        if self.bwd_hooks and activation.requires_grad and (listeners := _visible(self.bwd_hooks)):
            # Nothing else uses the alias, so its gradient is the one that flows out of this point,
            # even if neighbouring points hold the same tensor.
            activation = activation.view_as(activation)
            activation.register_hook(lambda gradient: self._call(listeners, gradient))
            for listener in listeners:
                listener.connected += 1
        return activation

    def _call(self, listeners: Iterable[Listener], activation: torch.Tensor) -> torch.Tensor:
        for listener in listeners:
            if listener.reads_only:
                if listener.hook(activation, hook=self) is not None:
                    raise ValueError(
                        f"the hook {describe(listener.hook)} on {self.name!r} was added with reads_only=True and "
                        "returned a value, which would be ignored: return nothing, or add it without reads_only."
                    )
            else:
                # A copy for each, because the previous listener may have kept its tensor.
                activation = activation.clone()
                result = _unpack(listener.hook(activation, hook=self))
                if result is not None and result is not activation:
                    self._check(listener, result, activation)
                    lend(result)
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
        if result.device != activation.device:
            raise ValueError(
                f"{who} returned a tensor on {result.device}; the activation is on {activation.device}: "
                f"convert with .to(activation.device)."
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
        scope: HookScope | None = None,
    ) -> Listener:
        """Add a listener for activations (`dir="fwd"`) or their gradients (`dir="bwd"`); see `Listener`."""
        if dir not in ("fwd", "bwd"):
            raise ValueError(f"dir must be 'fwd' or 'bwd', not {dir!r}.")
        if not callable(hook):
            raise TypeError(f"a hook must be a function of (activation, hook), not {hook!r}.")
        listener = Listener(
            hook,
            is_permanent,
            level,
            reads_only,
            label=label or self.name or "",
            by_position=by_position,
            width=width,
            scope=scope,
        )
        which = "fwd_hooks" if dir == "fwd" else "bwd_hooks"
        with _LISTENERS_LOCK:
            others = getattr(self, which)
            setattr(self, which, [listener, *others] if prepend else [*others, listener])
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
        """Remove listeners: all, or those of one context level; permanent ones only on request.

        Listeners of scopes that are open in other threads or tasks stay.

        Raises:
            ValueError: for an unknown direction.
        """
        _check_direction(dir)
        scopes = _SCOPES.get()

        def stays(listener: Listener) -> bool:
            if listener.scope is not None and listener.scope not in scopes:
                return True
            if including_permanent:
                return False
            if listener.is_permanent:
                return True
            return level is not None and listener.context_level != level

        with _LISTENERS_LOCK:
            if dir in ("fwd", "both"):
                self.fwd_hooks = [listener for listener in self.fwd_hooks if stays(listener)]
            if dir in ("bwd", "both"):
                self.bwd_hooks = [listener for listener in self.bwd_hooks if stays(listener)]

    def discard(self, listener: Listener) -> None:
        """Remove one listener, if it is here."""
        with _LISTENERS_LOCK:
            self.fwd_hooks = [other for other in self.fwd_hooks if other is not listener]
            self.bwd_hooks = [other for other in self.bwd_hooks if other is not listener]

    def take_listeners(self, other: HookPoint) -> None:
        """Take over the listeners of `other`, and what they stored in its `ctx`."""
        self.fwd_hooks, self.bwd_hooks, self._main_ctx = other.fwd_hooks, other.bwd_hooks, other._main_ctx

    def clear_context(self) -> None:
        """Clear what hooks stored in `ctx` in this thread."""
        self.ctx.clear()

    def hooks_in(
        self,
        dir: Literal["fwd", "bwd", "both"] = "both",
        including_permanent: bool = True,
        level: int | None = None,
    ) -> list[Listener]:
        """The listeners here, forward ones first.

        Args:
            dir: only one direction.
            including_permanent: also those that `reset_hooks` leaves in place.
            level: only those that were added at this context level.

        Raises:
            ValueError: for an unknown direction.
        """
        _check_direction(dir)
        both = {"fwd": self.fwd_hooks, "bwd": self.bwd_hooks}
        return [
            listener
            for direction, listeners in both.items()
            if dir in (direction, "both")
            for listener in listeners
            if (including_permanent or not listener.is_permanent) and level in (None, listener.context_level)
        ]

    def has_hooks(
        self,
        dir: Literal["fwd", "bwd", "both"] = "both",
        including_permanent: bool = True,
        level: int | None = None,
    ) -> bool:
        """Whether there is a hook here (see `hooks_in` for the arguments)."""
        return bool(self.hooks_in(dir, including_permanent, level))

    def layer(self) -> int:
        """The block this point belongs to, read from its name (`blocks.3.…` gives 3)."""
        parts = (self.name or "").split(".")
        if len(parts) < 2 or not parts[1].isdigit():
            raise ValueError(f"the hook point {self.name!r} is not part of a layer.")
        return int(parts[1])


# What hooks stored in `ctx` outside the main thread: in each thread, a dictionary for each hook point.
_ctx_of_thread = threading.local()


def _visible(listeners: list[Listener]) -> list[Listener]:
    """The listeners that see a run that starts now."""
    if not listeners:
        return listeners
    scopes = _SCOPES.get()
    return [listener for listener in listeners if listener.scope is None or listener.scope in scopes]


def _unpack(result: Any) -> Any:
    return result[0] if isinstance(result, tuple) and len(result) == 1 else result


def _check_direction(dir: object) -> None:
    if dir not in DIRECTIONS:
        raise ValueError(f"dir must be one of {', '.join(DIRECTIONS)}, not {dir!r}.")


def describe(thing: object) -> str:
    """The name of a hook, a hook point or a predicate in an error."""
    if callable(thing):
        return getattr(thing, "__name__", None) or type(thing).__name__
    return repr(thing)
