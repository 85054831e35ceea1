"""What the networks of this room share: weights that follow from a seed, and errors that say what they are."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mechscope.model.hook_points import HookPoint
from mechscope.model.hooked_root_module import HookedRootModule
from mechscope.near_names import did_you_mean
from mechscope.settings import Settings


class Subject(HookedRootModule):
    """A small network with named hook points that is not a transformer.

    `run_with_cache`, `run_with_hooks` and `hooks` work as they do on a `HookedTransformer`. Techniques that need
    tokens, attention heads or a residual stream do not.
    """

    kind: ClassVar[str]
    """What it is, as a noun with its article."""
    config: Settings
    """Its shape."""

    @property
    def shape_in_words(self) -> str:
        """Its layers, in words."""
        raise NotImplementedError

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            hint = did_you_mean(name, [known for known in dir(type(self)) if not known.startswith("_")])
            raise AttributeError(
                f"{type(self).__name__} has no attribute {name!r}.{hint} It is {self.kind}, not a transformer: "
                "run_with_cache, run_with_hooks and hooks work on it; techniques, tasks and dictionaries that need "
                "tokens or a residual stream do not."
            ) from None


class ConvBlock(nn.Module):
    """A convolution that keeps height and width, a ReLU, and optionally the maximum of every 2×2 square.

    Hook points: `hook_pre` and `hook_post`, before and after the ReLU, [batch channel row col]; `hook_pool` after the
    maximum, if there is one.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, *, pool: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2)
        self.hook_pre = HookPoint()
        self.hook_post = HookPoint()
        self.hook_pool = HookPoint() if pool else None

    def forward(self, x: Float[Tensor, "batch channel_in row col"]) -> Float[Tensor, "batch channel _ _"]:
        """The block's output."""
        x = self.hook_post(self.hook_pre(self.conv(x)).relu())
        return x if self.hook_pool is None else self.hook_pool(nn.functional.max_pool2d(x, 2))


@contextmanager
def seeded(seed: int) -> Generator[None]:
    """Draw initial weights from a seed, and leave torch's global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
