"""Token ids that know which of them are padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Int

from mechscope.value_kinds import shown

# Operations that move, select or repeat tokens: the attention mask goes through them in the same way.
_REARRANGING: frozenset[Any] = frozenset(
    {
        *(
            getattr(torch.Tensor, name)
            for name in (
                "__getitem__",
                "chunk",
                "clone",
                "contiguous",
                "cpu",
                "cuda",
                "detach",
                "expand",
                "expand_as",
                "flatten",
                "flip",
                "index_select",
                "int",
                "long",
                "movedim",
                "narrow",
                "permute",
                "repeat",
                "repeat_interleave",
                "reshape",
                "roll",
                "select",
                "split",
                "squeeze",
                "t",
                "tile",
                "to",
                "transpose",
                "unbind",
                "unflatten",
                "unsqueeze",
                "view",
                "view_as",
            )
        ),
        *(
            getattr(torch, name)
            for name in (
                "atleast_2d",
                "cat",
                "chunk",
                "clone",
                "concat",
                "concatenate",
                "flatten",
                "flip",
                "hstack",
                "index_select",
                "movedim",
                "narrow",
                "permute",
                "repeat_interleave",
                "reshape",
                "roll",
                "select",
                "split",
                "squeeze",
                "stack",
                "tile",
                "transpose",
                "unbind",
                "unsqueeze",
                "vstack",
            )
        ),
        torch.Tensor.T.__get__,  # type: ignore[attr-defined]
        torch.Tensor.mT.__get__,  # type: ignore[attr-defined]
    }
)
# These change only the mask's device; it stays boolean.
_CONVERTING: frozenset[Any] = frozenset({torch.Tensor.to, torch.Tensor.int, torch.Tensor.long})


class Tokens(torch.Tensor):
    """Token ids [batch pos] or [pos] with their attention mask: which of them are real and which padding.

    An ordinary integer tensor in every other way. `to_tokens` and `generate` return it, and whatever reads
    tokens uses its mask instead of guessing from ids: a padding token is often the begin or end token
    too. Indexing, slicing, `cat`, `stack`, `repeat`, `to` and other operations that only
    rearrange tokens keep the mask; arithmetic gives plain tensors.

    Args:
        ids: whole numbers [batch pos] or [pos], shared and not copied.
        attention_mask: true or 1 where a token is real, of the same shape; None where all are.

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
        return _dressed(plain, None if attention_mask is None else _checked_mask(attention_mask, plain))

    @property
    def ids(self) -> Int[torch.Tensor, "batch pos"]:
        """The same numbers as a plain tensor, without the mask."""
        return plain_ids(self)

    @property
    def attention_mask(self) -> Bool[torch.Tensor, "batch pos"] | None:
        """True where a token is real; None if all are."""
        return self._mask

    @property
    def is_real(self) -> Bool[torch.Tensor, "batch pos"]:
        """True where a token is real, never None."""
        return torch.ones_like(self.ids, dtype=torch.bool) if self._mask is None else self._mask

    @property
    def lengths(self) -> Int[torch.Tensor, " batch"]:
        """How many tokens of each row are real."""
        return self.is_real.sum(-1)

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        with torch._C.DisableTorchFunctionSubclass():  # type: ignore[attr-defined]
            result = func(*args, **kwargs)
            if func not in _REARRANGING or not args:
                return _undressed(result, args)
            mask = _mask_through(func, args, kwargs)
            return _dressed_like(result, mask)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tokens:
        return self.clone()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Tokens, (self.ids, self._mask)

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        plain = repr(self.ids)
        if self._mask is None:
            return plain
        return f"{plain}  # real tokens in each row: {self.lengths.tolist()}"


# `torch.load` reads saved tokens back as what they are: it makes nothing but tensors and what is listed here.
torch.serialization.add_safe_globals([Tokens])


def plain_ids(ids: Any) -> torch.Tensor:
    """Ids of any kind as a plain tensor that shares their memory where it can."""
    with torch._C.DisableTorchFunctionSubclass():  # type: ignore[attr-defined]
        tensor = torch.as_tensor(ids)
        return tensor if type(tensor) is torch.Tensor else tensor.as_subclass(torch.Tensor)


def plain_mask(attention_mask: Any) -> torch.Tensor:
    """An attention mask of any kind (tensor, array, nested lists) as a plain tensor.

    Raises:
        TypeError: for something that holds no numbers.
        ValueError: for rows of different lengths.
    """
    try:
        return plain_ids(attention_mask)
    except ValueError:
        raise ValueError(
            "attention_mask has rows of different lengths; it has the shape of the tokens."
        ) from None
    except (TypeError, RuntimeError):
        raise TypeError(
            "attention_mask is 1 (or True) where a token is real and 0 where it is padding, in a tensor, an array or "
            f"nested lists [batch pos], not {shown(attention_mask)}."
        ) from None


def last_real(mask: Bool[torch.Tensor, "batch pos"]) -> Int[torch.Tensor, " batch"]:
    """The position of each row's last real token [batch]; the last position if none is real.

    >>> last_real(torch.tensor([[True, True, False], [False, True, True]])).tolist()
    [1, 2]
    """
    return mask.shape[-1] - 1 - mask.flip(-1).to(torch.int8).argmax(-1)


def real_positions(mask: Bool[torch.Tensor, "batch pos"]) -> Int[torch.Tensor, "batch pos"]:
    """Where each token stands among its row's real tokens [batch pos].

    Padding has the position of the real token before it, and 0 at the start of a row.
    """
    return (mask.long().cumsum(-1) - 1).clamp(min=0)


def padding_between(mask: Bool[torch.Tensor, "batch pos"]) -> bool:
    """Whether a row has padding between two real tokens.

    >>> padding_between(torch.tensor([[False, True, True, False]]))
    False
    >>> padding_between(torch.tensor([[True, False, True]]))
    True
    """
    seen, to_come = mask.cummax(1).values, mask.flip(1).cummax(1).values.flip(1)
    return bool((~mask & seen & to_come).any())


def _dressed(plain: torch.Tensor, mask: torch.Tensor | None) -> Tokens:
    if mask is not None and bool(mask.all()):
        mask = None
    tokens = plain.detach().as_subclass(Tokens)
    tokens._mask = mask
    return tokens


def _dressed_like(result: Any, mask: Any) -> Any:
    """The result of a rearranging operation with the mask that went through the same operation."""
    if isinstance(result, (list, tuple)):
        masks = [None] * len(result) if mask is None else mask
        return type(result)(_dressed_like(one, other) for one, other in zip(result, masks, strict=True))
    if not isinstance(result, torch.Tensor) or not result.ndim or result.is_floating_point():
        return _undressed(result, ())
    return _dressed(plain_ids(result), mask)


def _undressed(result: Any, args: Sequence[Any]) -> Any:
    """A plain tensor; in-place operations return the tokens that they changed."""
    if not isinstance(result, Tokens) or any(result is one for one in args):
        return result
    return plain_ids(result)


def _mask_through(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """The mask after the operation; None if every token is real."""
    first = args[0]
    parts: list[Any] = list(first) if isinstance(first, (list, tuple)) else [first]
    if all(getattr(part, "_mask", None) is None for part in parts):
        return None
    if func in _CONVERTING:
        return parts[0]._mask.to(func(first, *args[1:], **kwargs).device)
    masks: list[torch.Tensor] = [
        part.is_real if isinstance(part, Tokens) else torch.ones_like(part, dtype=torch.bool)
        for part in parts
    ]
    # A DataLoader's worker processes stack rows into memory of their own (`out`), which is for the ids.
    options = {name: value for name, value in kwargs.items() if name != "out"}
    return func(masks if isinstance(first, (list, tuple)) else masks[0], *args[1:], **options)


def _checked_mask(attention_mask: Any, tokens: torch.Tensor) -> torch.Tensor:
    mask = plain_mask(attention_mask)
    if tuple(mask.shape) != tuple(tokens.shape):
        raise ValueError(
            f"attention_mask has shape {tuple(mask.shape)} but the tokens {tuple(tokens.shape)}; they must be the "
            "same [batch pos]."
        )
    if mask.dtype != torch.bool and not bool(((mask == 0) | (mask == 1)).all()):
        raise ValueError("attention_mask must contain only 1 (real token) and 0 (padding).")
    return mask.to(tokens.device, torch.bool)
