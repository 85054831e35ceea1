"""Logits that are computed only at the positions that are read.

Many metrics take the logits of all positions and read one of them: `logits[:, -1]`. Unembedding the others is a
large part of a pass. `LazyLogits` replaces the tensor: indexing it by position computes those positions, and any
other use computes all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch


class NotComputed(RuntimeError):  # noqa: N818 - a signal between a sweep and its logits, never seen by users
    """A metric read a position that this run did not compute to the end."""


class LazyLogits(torch.Tensor):
    """Behaves like logits [batch pos d_vocab], computed on demand.

    Make one with `over`; afterwards `positions_read` says which positions were used (None: all).
    """

    _end: torch.Tensor
    _unembed: Callable[[torch.Tensor], torch.Tensor]
    _positions: dict[int, int] | None
    _read_so_far: set[int] | None

    @classmethod
    def over(
        cls,
        end: torch.Tensor,
        unembed: Callable[[torch.Tensor], torch.Tensor],
        shape: tuple[int, int, int],
        positions: Sequence[int] | None,
    ) -> LazyLogits:
        """Logits of a residual stream.

        Args:
            end: the residual stream after the last block, [batch pos d_model] or only at `positions`.
            unembed: from residual stream to logits.
            shape: batch, positions and vocabulary of the full logits.
            positions: which positions `end` holds; None for all.
        """
        lazy = torch.Tensor._make_wrapper_subclass(cls, shape, dtype=end.dtype, device=end.device)
        lazy._end, lazy._unembed = end, unembed
        lazy._positions = None if positions is None else {pos: i for i, pos in enumerate(positions)}
        lazy._read_so_far = set()
        return lazy

    @property
    def positions_read(self) -> set[int] | None:
        """The positions that were used so far; None if all were."""
        return self._read_so_far

    def _all(self) -> torch.Tensor:
        self._read_so_far = None
        if self._positions is not None:
            raise NotComputed
        return self._unembed(self._end)

    def _at(self, positions: list[int]) -> torch.Tensor:
        if self._read_so_far is not None:
            self._read_so_far.update(positions)
        if self._positions is None:
            return self._unembed(self._end[:, positions])
        if not set(positions) <= self._positions.keys():
            raise NotComputed
        places = [self._positions[pos] for pos in positions]
        end = self._end if places == list(range(len(self._positions))) else self._end[:, places]
        return self._unembed(end)

    def _item(self, index: Any) -> torch.Tensor:
        """`logits[index]`, with only the positions that it names."""
        parts = list(index) if isinstance(index, tuple) else [index]
        if len(parts) < 2 or any(part is None or part is Ellipsis for part in parts[:2]):
            return self._all()[index]
        pos, length = parts[1], self.shape[1]
        if isinstance(pos, slice):
            wanted = list(range(length))[pos]
            if not wanted:
                return self._all()[index]
            parts[1] = slice(None)
        elif isinstance(pos, (int, list)) or (isinstance(pos, torch.Tensor) and pos.dtype == torch.long):
            where = torch.as_tensor(pos)
            if where.dtype != torch.long or bool((where < -length).any()) or bool((where >= length).any()):
                return self._all()[index]
            where = torch.where(where < 0, where + length, where)
            unique, inverse = where.unique(return_inverse=True)
            wanted = unique.tolist()
            parts[1] = int(inverse) if isinstance(pos, int) else inverse.to(self.device)
        else:
            return self._all()[index]
        return self._at(wanted)[tuple(parts)]

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.Tensor.__getitem__ and isinstance(args[0], LazyLogits):
            return args[0]._item(args[1])
        if getattr(func, "__name__", "") == "__get__" or func in _ABOUT_SHAPE:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **kwargs)
        real = [_real(arg) for arg in args]
        return func(*real, **{key: _real(value) for key, value in kwargs.items()})

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        real = {key: _real(value) for key, value in (kwargs or {}).items()}
        return func(*[_real(arg) for arg in args], **real)

    def __repr__(self) -> str:  # type: ignore[override]
        return f"LazyLogits({', '.join(map(str, self.shape))})"


_ABOUT_SHAPE = {
    torch.Tensor.size,
    torch.Tensor.dim,
    torch.Tensor.ndimension,
    torch.Tensor.numel,
    torch.Tensor.is_floating_point,
    torch.Tensor.__len__,
}


def _real(value: Any) -> Any:
    if isinstance(value, LazyLogits):
        return value._all()
    if isinstance(value, (list, tuple)):
        return type(value)(_real(each) for each in value)
    return value
