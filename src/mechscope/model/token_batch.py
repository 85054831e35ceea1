"""Token ids that know which of them are padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Int, Integer

from mechscope.arguments import shown

TextOrIds = str | list[Any] | tuple[Any, ...] | range | np.ndarray
"""What is read like a tensor of tokens: a text, texts, or token ids in lists or an array (see `model.as_tokens`)."""

# Operations that move, select or repeat tokens, as functions and as methods; they are applied to the attention mask
# too.
_REARRANGING_NAMES = [
    "__getitem__",
    "adjoint",
    "as_strided",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "broadcast_to",
    "cat",
    "chunk",
    "clone",
    "column_stack",
    "concat",
    "concatenate",
    "contiguous",
    "cpu",
    "cuda",
    "detach",
    "diagonal",
    "dstack",
    "expand",
    "expand_as",
    "flatten",
    "flip",
    "fliplr",
    "flipud",
    "gather",
    "hsplit",
    "hstack",
    "index_select",
    "int",
    "long",
    "moveaxis",
    "movedim",
    "narrow",
    "narrow_copy",
    "permute",
    "pin_memory",
    "ravel",
    "repeat",
    "repeat_interleave",
    "reshape",
    "reshape_as",
    "roll",
    "rot90",
    "row_stack",
    "select",
    "short",
    "split",
    "stack",
    "squeeze",
    "swapaxes",
    "swapdims",
    "t",
    "take_along_dim",
    "tensor_split",
    "tile",
    "to",
    "transpose",
    "type",
    "type_as",
    "unbind",
    "unflatten",
    "unfold",
    "unsqueeze",
    "view",
    "view_as",
    "vsplit",
    "vstack",
]
# Operations that change the values of some tokens, but not which of them are padding.
_REPLACING_NAMES = [
    "index_copy",
    "index_fill",
    "index_put",
    "masked_fill",
    "masked_scatter",
    "scatter",
]


def _functions(names: Sequence[str]) -> frozenset[Any]:
    return frozenset(
        getattr(owner, name) for name in names for owner in (torch, torch.Tensor) if hasattr(owner, name)
    )


_REARRANGING: frozenset[Any] = _functions(_REARRANGING_NAMES) | {
    getattr(torch.Tensor, name).__get__ for name in ("data", "H", "mH", "mT", "T")
}
# These only change the device of the mask, which stays boolean.
_CONVERTING = _functions(("int", "long", "short", "to", "type", "type_as"))
_REPLACING = _functions(_REPLACING_NAMES)
_WHERE = ("condition", "input", "other")
_PAD_SEQUENCE: Any = torch._C._nn.pad_sequence  # type: ignore[attr-defined]


class Tokens(torch.Tensor):
    """Token ids [batch pos] or [pos] with their attention mask, which says which tokens are real and which padding.

    In every other way this is an ordinary integer tensor. `to_tokens` and `generate` return it, and functions that take
    tokens use its mask and need not guess it from the ids: a padding token is often also the begin or end token.
    Indexing, slicing, `cat`, `stack`, `repeat`, `to` and other operations that only rearrange tokens keep the mask; so
    do `where`, `masked_fill` and similar ones, which replace some of them, and `torch.nn.utils.rnn.pad_sequence`
    extends it. Arithmetic returns plain tensors.

    Args:
        ids: whole numbers [batch pos] or [pos]; their memory is shared, not copied.
        attention_mask: True or 1 where a token is real, in the same shape; None if all are.

    Raises:
        TypeError: for ids that are not whole numbers, or a mask of something other than 0 and 1.
        ValueError: for a mask of the wrong shape.

    >>> tokens = Tokens([[7, 7, 3], [1, 2, 3]], attention_mask=[[0, 0, 1], [1, 1, 1]])
    >>> tokens[:, 1:].attention_mask.tolist()
    [[False, True], [True, True]]
    >>> tokens.lengths.tolist()
    [1, 3]
    """

    _mask: torch.Tensor | None

    if TYPE_CHECKING:  # torch declares these as plain tensors

        def __getitem__(self, indices: Any) -> Tokens: ...
        def __iter__(self) -> Iterator[Tokens]: ...
        def to(self, *args: Any, **kwargs: Any) -> Tokens: ...
        def cpu(self, *args: Any, **kwargs: Any) -> Tokens: ...
        def clone(self, *args: Any, **kwargs: Any) -> Tokens: ...
        def long(self, *args: Any, **kwargs: Any) -> Tokens: ...

    def __new__(cls: type[Tokens], ids: Any, attention_mask: Any = None) -> Tokens:
        if attention_mask is None and isinstance(ids, Tokens):
            attention_mask = ids._mask
        plain = plain_ids(ids)
        if plain.is_floating_point() or plain.is_complex() or plain.dtype == torch.bool:
            raise TypeError(f"token ids are whole numbers, not {plain.dtype}.")
        return _with_mask(plain, None if attention_mask is None else _checked_mask(attention_mask, plain))

    @property
    def ids(self) -> Integer[torch.Tensor, "*batch pos"]:
        """The ids as a plain tensor, without the mask."""
        return plain_ids(self)

    @property
    def attention_mask(self) -> Bool[torch.Tensor, "*batch pos"] | None:
        """True where a token is real; None if all are."""
        return self._mask

    @property
    def is_real(self) -> Bool[torch.Tensor, "*batch pos"]:
        """True where a token is real; never None."""
        return torch.ones_like(self.ids, dtype=torch.bool) if self._mask is None else self._mask

    @property
    def lengths(self) -> Int[torch.Tensor, "*batch"]:
        """The number of real tokens in each row."""
        return self.is_real.sum(-1)

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.nn.functional.pad and _has_mask(args):
            raise ValueError(
                "torch.nn.functional.pad does not know whether the new tokens are real: use torch.cat([...]) for real "
                "ones, or Tokens(pad(tokens.ids, ...), pad(tokens.is_real, ...)) for padding."
            )
        with torch._C.DisableTorchFunctionSubclass():  # type: ignore[attr-defined]
            result = func(*args, **kwargs)
            if func in _REARRANGING:
                return _rearranged(func, args, kwargs, result)
            if func in (torch.where, torch.Tensor.where):
                return _result_with_mask(result, _mask_where(func, args, kwargs, result))
            if func in _REPLACING and isinstance(args[0], Tokens):
                return _result_with_mask(result, args[0]._mask)
            if func is _PAD_SEQUENCE:
                return _result_with_mask(result, _mask_of_sequences(*args, **kwargs))
            if args and isinstance(args[0], Tokens):
                _update_mask(func, args, kwargs)
            return _as_plain(result, args)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tokens:
        return self.clone()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Tokens, (self.ids, self._mask)

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        plain = repr(self.ids)
        if self._mask is None:
            return plain
        return f"{plain}  # real tokens in each row: {self.lengths.tolist()}"


# Allow `torch.load` to read saved tokens: it refuses classes that are not listed.
torch.serialization.add_safe_globals([Tokens])


def plain_ids(ids: Any) -> torch.Tensor:
    """Ids of any kind as a plain tensor, which shares their memory if possible."""
    with torch._C.DisableTorchFunctionSubclass():  # type: ignore[attr-defined]
        tensor = torch.as_tensor(ids)
        return tensor if type(tensor) is torch.Tensor else tensor.as_subclass(torch.Tensor)


def plain_mask(attention_mask: Any) -> torch.Tensor:
    """An attention mask of any kind (tensor, array, nested lists) as a plain tensor.

    Raises:
        TypeError: for anything but numbers.
        ValueError: for rows of different lengths.
    """
    try:
        return plain_ids(attention_mask)
    except ValueError:
        raise ValueError(
            "attention_mask has rows of different lengths; it must have the shape of the tokens."
        ) from None
    except (TypeError, RuntimeError):
        raise TypeError(
            "attention_mask is 1 (or True) where a token is real and 0 where it is padding, in a tensor, an array or "
            f"nested lists [batch pos], not {shown(attention_mask)}."
        ) from None


def _with_mask(plain: torch.Tensor, mask: torch.Tensor | None) -> Tokens:
    if mask is not None and bool(mask.all()):
        mask = None
    tokens = plain.detach().as_subclass(Tokens)
    tokens._mask = mask
    return tokens


def _result_with_mask(result: Any, mask: Any) -> Any:
    """The result of a rearranging operation, with the result of the same operation on the mask."""
    if isinstance(result, (list, tuple)):
        masks = [None] * len(result) if mask is None else mask
        return type(result)(_result_with_mask(one, other) for one, other in zip(result, masks, strict=True))
    if not isinstance(result, torch.Tensor) or not result.ndim or result.is_floating_point():
        return _as_plain(result, ())
    return _with_mask(plain_ids(result), mask)


def _as_plain(result: Any, args: Sequence[Any]) -> Any:
    """The result as a plain tensor, unless it is one of the arguments, which an in-place operation returns."""
    if not isinstance(result, Tokens) or any(result is one for one in args):
        return result
    return plain_ids(result)


def _has_mask(parts: Any) -> bool:
    return any(getattr(part, "_mask", None) is not None for part in parts)


def _real(part: Any) -> Any:
    """True where tokens are real; True everywhere for a plain tensor, and simply True for a number."""
    if isinstance(part, Tokens):
        return part.is_real
    return torch.ones_like(part, dtype=torch.bool) if isinstance(part, torch.Tensor) else True


def _rearranged(func: Any, args: Sequence[Any], kwargs: dict[str, Any], result: Any) -> Any:
    """The result with the rearranged mask; a plain tensor if the tokens were only an index (`W[tokens]`)."""
    # Worker processes of a DataLoader stack rows into given memory (`out`), which is only for the ids.
    options = {name: value for name, value in kwargs.items() if name != "out"}
    if args:
        first, *others = args
    else:
        first, others = (
            options.pop(next(name for name in ("input", "tensors", "self") if name in options)),
            [],
        )
    several = isinstance(first, (list, tuple))
    parts = first if several else [first]
    if not any(isinstance(part, Tokens) for part in parts):
        return _as_plain(result, args)
    if not _has_mask(parts):
        return _result_with_mask(result, None)
    if func in _CONVERTING:
        return _result_with_mask(
            result, first._mask.to(result.device) if isinstance(result, torch.Tensor) else None
        )
    real = [_real(part) for part in parts] if several else _real(first)
    return _result_with_mask(result, func(real, *others, **options))


def _mask_where(func: Any, args: Sequence[Any], kwargs: dict[str, Any], result: Any) -> torch.Tensor | None:
    """The mask of `where` on tokens; a token that is replaced by a plain value stays real or padding."""
    names = ("input", "condition", "other") if func is torch.Tensor.where else _WHERE
    given: dict[str, Any] = dict(zip(names, args, strict=False))
    given |= {"input" if name == "self" else name: value for name, value in kwargs.items()}
    parts = given.get("input"), given.get("other")
    if not _has_mask(parts) or not isinstance(result, torch.Tensor):
        return None
    if all(isinstance(part, Tokens) for part in parts):
        return torch.where(given["condition"], *(part.is_real for part in parts))  # type: ignore[union-attr]
    known = next(part for part in parts if isinstance(part, Tokens))
    return known.is_real.expand_as(result)


def _mask_of_sequences(
    sequences: Any, batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> torch.Tensor:
    return _PAD_SEQUENCE([_real(row) for row in sequences], batch_first, 0.0, padding_side)


def _update_mask(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Update the mask of tokens that were edited in place, by writing tokens into them or changing their shape."""
    tokens = args[0]
    if func is torch.Tensor.__setitem__ and isinstance(args[2], Tokens) and _has_mask((tokens, args[2])):
        mask = tokens.is_real.clone()  # other tokens may share the old mask
        mask[args[1]] = args[2].is_real
        tokens._mask = None if bool(mask.all()) else mask
    elif func is torch.Tensor.copy_ and isinstance(args[1], Tokens):
        tokens._mask = None if args[1]._mask is None else args[1]._mask.expand_as(tokens).clone()
    elif tokens._mask is not None and tokens._mask.shape != tokens.shape:  # such as unsqueeze_
        tokens._mask = func(tokens._mask.clone(), *args[1:], **kwargs)


def _checked_mask(attention_mask: Any, tokens: torch.Tensor) -> torch.Tensor:
    mask = plain_mask(attention_mask)
    if tuple(mask.shape) != tuple(tokens.shape):
        raise ValueError(
            f"attention_mask has shape {tuple(mask.shape)}, but the tokens have shape {tuple(tokens.shape)}; they "
            "must be the same [batch pos]."
        )
    if mask.dtype != torch.bool and not bool(((mask == 0) | (mask == 1)).all()):
        raise ValueError("attention_mask must contain only 1 (real token) and 0 (padding).")
    return mask.to(tokens.device, torch.bool)
