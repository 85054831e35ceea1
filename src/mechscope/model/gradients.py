"""Switch gradients on for techniques that need them, and check torch's modes."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def gradients_on(what: str) -> Generator[None]:
    """Switch gradients on, also inside `torch.no_grad()`.

    Args:
        what: the technique that needs them, as the subject of an error message.

    Raises:
        RuntimeError: inside `torch.inference_mode()`, whose tensors can never have gradients.
    """
    refuse_inference_mode(what)
    with torch.enable_grad():
        yield


def refuse_inference_mode(what: str) -> None:
    """Raise a RuntimeError inside `torch.inference_mode()`, because `what` needs gradients."""
    if torch.is_inference_mode_enabled():
        raise RuntimeError(
            f"{what} needs gradients, which torch.inference_mode() rules out: call it outside that block "
            "(torch.no_grad() is fine)."
        )


def usable_in_training(value: Any) -> Any:
    """A copy of a tensor that was created in inference mode, so that autograd accepts it; anything else unchanged."""
    if isinstance(value, torch.Tensor) and value.is_inference() and not torch.is_inference_mode_enabled():
        return value.clone()
    return value


def values_are_known(tensor: torch.Tensor) -> bool:
    """Whether a tensor has known values: under `torch.vmap` it represents a whole batch of values."""
    functorch: Any = torch._C._functorch  # pyright: ignore[reportAttributeAccessIssue] - without type stubs
    while functorch.is_functorch_wrapped_tensor(tensor):
        if functorch.is_batchedtensor(tensor):
            return False
        tensor = functorch.get_unwrapped(tensor)
    return True


def forward_gradients() -> bool:
    """Whether forward-mode gradients are being computed (`torch.func.jvp`), which fused attention does not support."""
    return torch.autograd.forward_ad._current_level >= 0  # pyright: ignore[reportPrivateUsage]
