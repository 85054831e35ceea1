"""Models and measurements that the checks of several units use."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

if TYPE_CHECKING:
    from mechscope.model import HookedTransformer


@cache
def random_gpt(seed: int, n_layers: int = 3) -> HookedTransformer:
    """A GPT-2 with a few layers and random weights, none of which is 0 or 1: whoever leaves one out is noticed."""
    import mechscope as ms

    config = ms.HookedTransformerConfig(
        n_layers=n_layers,
        d_model=12,
        n_ctx=10,
        d_head=4,
        n_heads=3,
        d_mlp=24,
        d_vocab=17,
        act_fn="gelu_new",
        seed=seed,
    )
    model = ms.HookedTransformer(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            # Biases and norms start at 0 and 1.
            weight += 0.3 * torch.randn(weight.shape, generator=generator) * ("W_" not in name)
    return model


class _Largest(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        for value in answer if isinstance(answer, tuple | list) else (answer,):
            if isinstance(value, Tensor):
                self.bytes = max(self.bytes, value.numel() * value.element_size())
        return answer


def largest_tensor(call: Callable[[], Any]) -> int:
    """How many bytes the largest tensor has that is made during a call."""
    with _Largest() as watched:
        call()
    return watched.bytes


class _Counted(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def operations(call: Callable[[], Any]) -> int:
    """How many operations of torch run during a call: a loop in Python shows, whatever it looks like."""
    with _Counted() as counted:
        call()
    return counted.count


class _Multiplied(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in ("mm", "bmm", "addmm", "baddbmm"):
            # Each number of the answer is a sum over the last axis of the left matrix.
            left = args[1] if "add" in name else args[0]
            self.count += answer.numel() * left.shape[-1]
        elif name == "mul":
            self.count += answer.numel()
        return answer


def multiplications(call: Callable[[], Any]) -> int:
    """How many multiplications of numbers the products of tensors take that run during a call."""
    with _Multiplied() as counted:
        call()
    return counted.count
