"""Choose positions of a forward pass on text, tokens, a residual stream, or the continuation of a cached text."""

from __future__ import annotations

import inspect
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

import torch
from jaxtyping import Bool

from mechscope.model.generation import PROMPT_POSITIONS
from mechscope.model.token_batch import Tokens

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer


class ChosenPositions(Protocol):
    """Chooses positions in any batch of tokens."""

    def within(
        self, real: Bool[torch.Tensor, "batch pos"], prompt_positions: int | None = None
    ) -> Bool[torch.Tensor, "batch pos"]:
        """True at the chosen positions.

        Args:
            real: which tokens are real, cached and generated ones included.
            prompt_positions: how many positions belong to the prompt; None means all.
        """
        ...


@contextmanager
def positions_of_passes(
    model: HookedTransformer, positions: ChosenPositions
) -> Generator[ContextVar[torch.Tensor | None]]:
    """Yield a variable that, during each pass in the `with` block, is True at the chosen positions [batch pos]."""
    current: ContextVar[torch.Tensor | None] = ContextVar("chosen positions", default=None)
    signature = inspect.signature(model.forward)

    def before(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = signature.bind(*args, **kwargs).arguments
        past = given.get("past_kv_cache")
        real = _real_tokens(model, given)
        cached = 0 if past is None else past.length
        if past is not None and cached:
            real = torch.cat([past.previous_attention_mask.to(real), real], 1)
        current.set(positions.within(real, PROMPT_POSITIONS.get())[:, cached:])

    def after(*_: Any) -> None:
        current.set(None)

    handles = (
        model.register_forward_pre_hook(before, with_kwargs=True),
        model.register_forward_hook(after, always_call=True),
    )
    try:
        yield current
    finally:
        for handle in handles:
            handle.remove()


def _real_tokens(model: HookedTransformer, given: dict[str, Any]) -> Bool[torch.Tensor, "batch pos"]:
    """Which tokens of a pass are real, from the arguments of `forward`."""
    read, mask = given["input"], given.get("attention_mask")
    if given.get("start_at_layer") is not None:
        shape, read = read.shape[:2], given.get("tokens")
        if read is None:
            real = torch.ones(shape, dtype=torch.bool, device=given["input"].device)
            return real if mask is None else mask[:, -shape[1] :].to(real)
    if mask is not None and not isinstance(read, (str, list)):
        # The mask may cover the cached positions too.
        read = Tokens(model.as_tokens(read).ids, mask[..., -read.shape[-1] :].reshape(-1, read.shape[-1]))
        return read.is_real
    return model.as_tokens(read, given.get("prepend_bos"), given.get("padding_side"), mask).is_real
