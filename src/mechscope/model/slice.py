"""Choose indices along one axis: all, one, a range or a list."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch

from mechscope.arguments import is_whole_number

SliceInput = (
    int
    | tuple[int | None]
    | tuple[int | None, int | None]
    | tuple[int | None, int | None, int | None]
    | slice
    | list[int]
    | range
    | torch.Tensor
    | np.ndarray
    | None
)
Mode = Literal["identity", "int", "slice", "array"]


class Slice:
    """Indices along one axis, chosen in one of four ways.

    None keeps everything ("identity"); a whole number selects one index and drops the axis ("int"); a slice, or a tuple
    with the arguments of `slice(...)`, selects a range ("slice"); a list, a range, an array or a tensor lists indices,
    or marks them with booleans ("array").

    Raises:
        ValueError: for anything else.

    >>> tokens = torch.arange(10)
    >>> Slice((2, 5)).apply(tokens), Slice([0, -1]).apply(tokens), Slice(3).apply(tokens)
    (tensor([2, 3, 4]), tensor([0, 9]), tensor(3))
    """

    slice: int | slice | np.ndarray
    mode: Mode

    def __init__(self, input_slice: SliceInput = None) -> None:
        if isinstance(input_slice, torch.Tensor):
            input_slice = input_slice.detach().cpu().numpy()
        if isinstance(input_slice, np.ndarray) and input_slice.ndim == 0:
            input_slice = input_slice[()]
        if isinstance(input_slice, range):
            input_slice = list(input_slice)
        if input_slice is None:
            self.slice, self.mode = slice(None), "identity"
        elif is_whole_number(input_slice):
            self.slice, self.mode = int(input_slice), "int"
        elif isinstance(input_slice, slice):
            self.slice, self.mode = input_slice, "slice"
        elif isinstance(input_slice, tuple) and 1 <= len(input_slice) <= 3:
            self.slice, self.mode = slice(*input_slice), "slice"
        elif isinstance(input_slice, (list, np.ndarray)):
            self.slice, self.mode = _indices(input_slice), "array"
        else:
            raise ValueError(
                "a slice is None (everything), a whole number (one index), a tuple (start, stop[, step]) or "
                f"a list of indices, not {input_slice!r}."
            )

    @classmethod
    def unwrap(cls, slice_input: Slice | SliceInput) -> Slice:
        """The Slice itself, or a Slice made from another value."""
        return slice_input if isinstance(slice_input, cls) else cls(slice_input)  # type: ignore[arg-type]

    def apply(self, tensor: torch.Tensor, dim: int = 0) -> torch.Tensor:
        """The chosen part of one axis of a tensor; a view, except for a list of indices.

        Raises:
            IndexError: for an axis or an index that the tensor does not have.
        """
        if not -tensor.ndim <= dim < tensor.ndim:
            raise IndexError(f"there is no axis {dim} in a tensor of shape {tuple(tensor.shape)}.")
        if self.mode == "identity":
            return tensor
        dim %= tensor.ndim
        length = tensor.shape[dim]
        before = (slice(None),) * dim
        if isinstance(self.slice, slice):
            if self.slice.step is None or self.slice.step > 0:
                return tensor[*before, self.slice]
            # torch has no views with negative steps
            return tensor[*before, torch.from_numpy(self.indices(length)).to(tensor.device)]
        self._check_range(length, dim, tensor)
        if isinstance(self.slice, int):
            return tensor.select(dim, self.slice)
        return tensor[*before, torch.from_numpy(self.slice).to(tensor.device)]

    def _check_range(self, length: int, dim: int, tensor: torch.Tensor) -> None:
        chosen = np.atleast_1d(np.asarray(self.slice))
        if chosen.dtype == np.bool_:
            if chosen.shape != (length,):
                raise IndexError(
                    f"a mask of shape {chosen.shape} cannot choose along axis {dim} of a tensor of shape "
                    f"{tuple(tensor.shape)}: it needs {length} entries."
                )
            return
        wrong = chosen[(chosen < -length) | (chosen >= length)]
        if wrong.size:
            raise IndexError(
                f"index {int(wrong.flat[0])} is out of range for axis {dim} of a tensor of shape "
                f"{tuple(tensor.shape)}: it has {length} entries."
            )

    def indices(self, max_ctx: int | None = None) -> np.ndarray:
        """The chosen indices as an array; none is negative if `max_ctx`, the length of the axis, is given.

        Raises:
            ValueError: if the length of the axis is needed but not given.
        """
        if max_ctx is not None:
            return np.atleast_1d(np.arange(max_ctx, dtype=np.int64)[self.slice]).copy()
        if isinstance(self.slice, slice):
            raise ValueError(f"the indices of {self!r} depend on the length of the axis; pass it as max_ctx.")
        chosen = np.atleast_1d(np.asarray(self.slice))
        return np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen

    def __repr__(self) -> str:
        return f"Slice: {self.slice} Mode: {self.mode} "


def chosen_indices(chosen: Any, count: int, what: str) -> list[int]:
    """The indices of the chosen among `count` things.

    Args:
        chosen: a slice, an index or several (a negative one counts from the end), or a mask [count], in any kind of
            list, array or tensor.
        count: how many things there are.
        what: their name in errors, in the plural.

    Raises:
        ValueError: for anything else, an index out of range, a mask of another length, or an empty choice.

    >>> chosen_indices([0, -1], 4, "examples"), chosen_indices([True, False, False, True], 4, "examples")
    ([0, 3], [0, 3])
    """
    listed: Any = list(chosen) if isinstance(chosen, tuple) else chosen
    if listed is None:
        raise ValueError(f"choose {what} by a slice, by index or by a mask [{count}].")
    found = Slice(listed).slice
    if isinstance(found, slice):
        rows = list(range(count)[found])
    else:
        numbers = np.atleast_1d(found)
        if numbers.ndim > 1 or (numbers.dtype == np.bool_ and len(numbers) != count):
            kind = "mask" if numbers.dtype == np.bool_ else "choice"
            raise ValueError(f"there are {count} {what}, but the {kind} has shape {numbers.shape}.")
        rows = np.flatnonzero(numbers).tolist() if numbers.dtype == np.bool_ else numbers.tolist()
    outside = [row for row in rows if not -count <= row < count]
    if outside or not rows:
        raise ValueError(
            f"{what} are 0 to {count - 1}; "
            + (f"there is no index {outside[0]}." if outside else "none of them was chosen.")
        )
    return [row % count for row in rows]


def _indices(values: list[Any] | np.ndarray) -> np.ndarray:
    indices = np.asarray(values)
    if indices.size == 0:
        return indices.astype(np.int64)
    if indices.dtype == np.bool_ or np.issubdtype(indices.dtype, np.integer):
        return np.array(indices, dtype=bool if indices.dtype == np.bool_ else np.int64)
    raise ValueError(f"a list of indices holds whole numbers or booleans, not {indices.dtype}.")
