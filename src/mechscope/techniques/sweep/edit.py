"""An edit: replace or change a part of one activation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import torch

from mechscope.arguments import brief_repr, checked_constructor
from mechscope.model.precision import at_least_float32
from mechscope.model.sites import Site

if TYPE_CHECKING:
    from mechscope.model.config import HookedTransformerConfig

Where = int | tuple[int, ...] | None
Function = Callable[[torch.Tensor, range], torch.Tensor]


@checked_constructor
@dataclass(frozen=True, eq=False)
class Edit:
    """A change of one activation at chosen positions, heads and entries.

    >>> Edit("blocks.0.attn.hook_z", value=0.0, pos=3, head=1).site.layer
    0
    """

    hook: str
    """Full name of the hook point."""
    value: torch.Tensor | float | None = None
    """The new value: a number, or a tensor with the shape of the whole activation [batch pos ...], of which the edited
    part is used. A batch of 1 is used for every example."""
    pos: Where | torch.Tensor = None
    """Positions: one, several, one per example [batch], or None for all. For a pattern, query positions."""
    head: Where = None
    """Heads, if the activation has them; None for all."""
    key: Where = None
    """Key positions of a pattern; None for all."""
    index: Where = None
    """Entries of the last axis, such as neurons or a dictionary's features; None for all."""
    how: Literal["replace", "add"] = "replace"
    """Whether the value replaces the activation or is added to it."""
    basis: torch.Tensor | None = None
    """Orthonormal columns [d k]: only the component in their span is replaced."""
    function: Function | None = None
    """Instead of a value, a function of the activation [batch window ...] and the window (a range of positions) that
    returns the new activation. The window starts at the first edited position; without positions it is everything."""

    __repr__ = brief_repr

    def __post_init__(self) -> None:
        if (self.value is None) == (self.function is None):
            raise ValueError(f"an edit of {self.hook!r} needs either a value or a function.")
        if self.how not in ("replace", "add"):
            raise ValueError(f"how must be 'replace' or 'add', not {self.how!r}.")
        if self.basis is not None and self.how == "add":
            raise ValueError("a basis says which component is replaced; it does not go with how='add'.")
        if self.key is not None and not self.site.has_pattern_axes:
            raise ValueError(f"{self.hook!r} has no key axis; only scores and patterns have.")

    @cached_property
    def site(self) -> Site:
        """The site of the hook point."""
        return Site.of(self.hook)

    @property
    def first(self) -> int:
        """The first position that changes."""
        if self.pos is None:
            return 0
        if isinstance(self.pos, torch.Tensor):
            return int(self.pos.min())
        return self.pos if isinstance(self.pos, int) else min(self.pos)

    @property
    def identity(self) -> tuple[object, ...]:
        """Equal for two edits that do the same because they share their tensors; functions are equal to nothing."""
        pos = id(self.pos) if isinstance(self.pos, torch.Tensor) else self.pos
        value = id(self.value) if isinstance(self.value, torch.Tensor) else self.value
        basis = None if self.basis is None else id(self.basis)
        function = None if self.function is None else object()
        return (self.hook, value, pos, self.head, self.key, self.index, self.how, basis, function)

    def end(self, length: int) -> int:
        """One past the last position that changes."""
        if self.pos is None:
            return length
        if isinstance(self.pos, torch.Tensor):
            return int(self.pos.max()) + 1
        return (self.pos if isinstance(self.pos, int) else max(self.pos)) + 1

    @cached_property
    def looks_ahead(self) -> bool:
        """Whether later positions could influence earlier ones, through a pattern or an unknown function."""
        if self.function is not None and self.pos is None:
            return True
        if not self.site.has_pattern_axes:
            return False
        nothing = 0.0 if self.site.part.endswith("pattern") else -torch.inf
        if isinstance(self.value, torch.Tensor):
            length = self.value.shape[-1]
            later = torch.ones(length, length, dtype=torch.bool, device=self.value.device).triu(1)
            return bool((self.value[..., later] != (0.0 if self.how == "add" else nothing)).any())
        if self.value == nothing:
            return False
        last_key = None if self.key is None else self.key if isinstance(self.key, int) else max(self.key)
        return last_key is None or last_key > self.first

    def check_positions(self, batch: int, length: int) -> None:
        """Check that the positions fit a run [batch pos].

        Raises:
            ValueError: if they do not.
        """
        if self.first < 0 or self.end(length) > length:
            raise ValueError(f"position {self.pos} of {self.hook!r} is outside 0 to {length - 1}.")
        if isinstance(self.pos, torch.Tensor) and tuple(self.pos.shape) != (batch,):
            raise ValueError(
                f"positions as a tensor must be one per example [{batch}], not {tuple(self.pos.shape)}."
            )

    def check_axes(self, cfg: HookedTransformerConfig, length: int) -> None:
        """Check that heads, keys, entries and the basis fit this model's activation.

        Raises:
            ValueError: if they do not.
        """
        axes = self.site.axes(cfg)
        if axes is None:
            return
        n_heads, width = axes
        if self.head is not None and n_heads is None:
            raise ValueError(f"{self.hook!r} has no heads; leave `head` out.")
        if n_heads is not None:
            shared = n_heads != cfg.n_heads
            self._check_among("key/value head" if shared else "head", self.head, n_heads)
        self._check_among("key", self.key, length)
        if self.site.has_pattern_axes:
            return
        self._check_among("index", self.index, width)
        if self.basis is not None and (self.basis.ndim != 2 or self.basis.shape[0] != width):
            raise ValueError(
                f"the basis for {self.hook!r} has orthonormal columns [{width} k], not {tuple(self.basis.shape)}."
            )
        if isinstance(self.value, torch.Tensor):
            expected = (width,) if n_heads is None else (n_heads, width)
            if tuple(self.value.shape[2:]) != expected:
                raise ValueError(
                    f"the value for {self.hook!r} has shape {tuple(self.value.shape)}; the activation of a whole run "
                    f"has [batch pos {' '.join(map(str, expected))}]."
                )

    def _check_among(self, what: str, chosen: Where, count: int) -> None:
        several = () if chosen is None else (chosen,) if isinstance(chosen, int) else chosen
        for one in several:
            if not 0 <= one < count:
                raise ValueError(f"{what} {one} of {self.hook!r} is outside 0 to {count - 1}.")

    def check_value(self, batch: int, length: int) -> None:
        """Check that the value fits a run [batch pos].

        Raises:
            ValueError: if it does not, or contains NaN.
        """
        if isinstance(self.value, torch.Tensor):
            if bool(torch.isnan(self.value).any()):
                raise ValueError(
                    f"the value for {self.hook!r} contains NaN: does the run that it comes from give NaN?"
                )
            axis = 2 if self.site.has_pattern_axes else 1
            if self.value.ndim <= axis or self.value.shape[0] not in (1, batch):
                raise ValueError(
                    f"the value for {self.hook!r} has shape {tuple(self.value.shape)}; it must be the whole "
                    f"activation of a run, with a batch of {batch} (or 1)."
                )
            if self.value.shape[axis] != length:
                raise ValueError(
                    f"the value for {self.hook!r} comes from a run of {self.value.shape[axis]} positions and this "
                    f"one has {length}; both prompts must have the same number of tokens."
                )

    def apply(self, activation: torch.Tensor, window: range) -> None:
        """Change an activation [batch window ...] in place; `window` says which positions it contains."""
        if self.function is not None:
            activation.copy_(self.function(activation, window))
            return
        if self._keys(window) == ():
            return  # later keys only, which no query here attends to before or after the edit
        target = self._index(activation, window.start, window)
        if isinstance(self.value, torch.Tensor):
            value = self.value.to(activation.device)
            if value.shape[0] != activation.shape[0]:
                value = value.expand(activation.shape[0], *value.shape[1:])
            if self.site.has_pattern_axes:
                value = value[..., : window.stop]  # keys after the window are ignored
            incoming: Any = value[self._index(value, 0, window)]
        else:
            incoming = self.value
        if self.basis is not None:
            own = at_least_float32(activation[target])
            basis = self.basis.to(own)
            activation[target] = (own + ((incoming - own) @ basis) @ basis.mT).to(activation.dtype)
        elif self.how == "add":
            activation[target] += incoming  # promoted to the wider type, then rounded once
        else:
            activation[target] = (
                incoming.to(activation.dtype) if isinstance(incoming, torch.Tensor) else incoming
            )

    def _keys(self, window: range) -> Where:
        """The edited keys within the window; an empty tuple if there are none."""
        if self.key is None or (isinstance(self.key, int) and self.key < window.stop):
            return self.key
        keys = (self.key,) if isinstance(self.key, int) else self.key
        return tuple(key for key in keys if key < window.stop)

    def _index(self, activation: torch.Tensor, start: int, window: range) -> tuple[Any, ...]:
        """The index of the edited part of an activation whose first position is `start`."""
        pos: Any = self.pos
        inside = torch.empty(0)
        if pos is None:
            # Only the window exists here.
            pos = slice(window.start - start, window.stop - start)
        elif isinstance(pos, int):
            pos -= start
        else:
            pos = torch.as_tensor(pos, device=activation.device)
            # Nothing reads positions past the window.
            inside = (pos >= window.start) & (pos < window.stop)
            pos = pos[inside] - start
        by_axis: list[Any] = [slice(None)] * activation.ndim
        if self.site.has_pattern_axes:
            by_axis[1], by_axis[2], by_axis[3] = _part(self.head), pos, _part(self._keys(window))
            pos_axis = 2
        else:
            by_axis[1], pos_axis = pos, 1
            if self.head is not None:
                by_axis[2] = _part(self.head)
            if self.index is not None:
                by_axis[-1] = _part(self.index)
        if isinstance(self.pos, torch.Tensor):
            by_axis[0] = inside.nonzero()[:, 0]
        return _open_mesh(
            by_axis, pos_axis if isinstance(self.pos, torch.Tensor) else None, activation.device
        )


def _part(where: Where) -> Any:
    return slice(None) if where is None else where if isinstance(where, int) else list(where)


def _open_mesh(by_axis: list[Any], paired_axis: int | None, device: torch.device) -> tuple[Any, ...]:
    """Make lists of indices vary independently, except the batch, which is paired with `paired_axis`."""
    lists = [axis for axis, part in enumerate(by_axis) if isinstance(part, (list, torch.Tensor))]
    groups = [axis for axis in lists if not (paired_axis is not None and axis == paired_axis)]
    if len(groups) + (paired_axis is not None) < 2:
        return tuple(by_axis)
    for place, axis in enumerate(groups):
        shape = [1] * len(groups)
        shape[place] = -1
        by_axis[axis] = torch.as_tensor(by_axis[axis], device=device).view(shape)
        if axis == 0 and paired_axis is not None:
            by_axis[paired_axis] = by_axis[paired_axis].view(shape)
    return tuple(by_axis)
