"""A convolutional network that reads handwritten digits."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from mechscope.model.hook_points import HookPoint
from mechscope.settings import PositiveInt, Settings
from mechscope.subjects.subject import ConvBlock, Subject, seeded


@dataclass(frozen=True, kw_only=True)
class DigitsCNNConfig(Settings):
    """The shape of a `DigitsCNN`."""

    side: PositiveInt = 28
    """Height and width of an image in pixels; a multiple of 2 for each block, because each halves it."""
    channels: tuple[PositiveInt, ...] = (8, 16)
    """Channels of each convolutional block."""
    kernel: PositiveInt = 5
    """Height and width of a filter; odd."""
    d_hidden: PositiveInt = 32
    """Units of the dense layer."""
    n_classes: PositiveInt = 10
    """Number of classes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel={self.kernel}: a filter needs an odd side, so that it has a centre.")
        if self.side % 2 ** len(self.channels):
            raise ValueError(
                f"side={self.side} cannot be halved {len(self.channels)} times, once for each block: use a multiple of "
                f"{2 ** len(self.channels)}."
            )


class DigitsCNN(Subject):
    """Blocks of convolution, ReLU and 2×2 maximum; then a dense ReLU layer, and logits.

    Hook points, with axes:
        hook_input: [batch 1 row col], brightness from 0 (paper) to 1 (ink)
        blocks.N.hook_pre, blocks.N.hook_post: [batch channel row col], before and after the ReLU
        blocks.N.hook_pool: [batch channel row col], half as high and wide
        hook_hidden_pre, hook_hidden_post: [batch unit]
        hook_logits: [batch class]

    Args:
        config: its shape.
        seed: decides the initial weights.

    >>> import torch
    >>> model = DigitsCNN()
    >>> logits, cache = model.run_with_cache(torch.zeros(3, 784))
    >>> logits.shape, cache["blocks.1.hook_post"].shape
    (torch.Size([3, 10]), torch.Size([3, 16, 14, 14]))
    """

    kind: ClassVar[str] = "a convolutional network"
    config: DigitsCNNConfig

    def __init__(self, config: DigitsCNNConfig | None = None, *, seed: int = 0) -> None:
        super().__init__()
        self.config = config or DigitsCNNConfig()  # pyright: ignore[reportIncompatibleVariableOverride]
        side = self.config.side // 2 ** len(self.config.channels)
        self.hook_input = HookPoint()
        with seeded(seed):
            self.blocks = nn.ModuleList(
                ConvBlock(*channels, self.config.kernel, pool=True)
                for channels in pairwise((1, *self.config.channels))
            )
            self.hidden = nn.Linear(self.config.channels[-1] * side**2, self.config.d_hidden)
            self.head = nn.Linear(self.config.d_hidden, self.config.n_classes)
        self.hook_hidden_pre = HookPoint()
        self.hook_hidden_post = HookPoint()
        self.hook_logits = HookPoint()
        self.setup()

    @property
    def shape_in_words(self) -> str:
        """Its layers, in words."""
        cfg = self.config
        filters = ", then ".join(f"{channels} channels" for channels in cfg.channels)
        return (
            f"{cfg.side}×{cfg.side} pixels; {filters} of {cfg.kernel}×{cfg.kernel} filters, each with ReLU and a 2×2 "
            f"maximum; {cfg.d_hidden} ReLU units; {cfg.n_classes} logits"
        )

    def forward(
        self, images: Float[Tensor, "batch 1 row col"] | Float[Tensor, "batch pixel"]
    ) -> Float[Tensor, "batch class"]:
        """Logits of images, which may also be rows of pixels as `load_digits` gives them.

        Raises:
            ValueError: for another shape.
        """
        side = self.config.side
        if tuple(images.shape[1:]) not in ((1, side, side), (side**2,)):
            raise ValueError(
                f"images have shape {tuple(images.shape)}; {type(self).__name__} reads [batch, 1, {side}, {side}] or "
                f"[batch, {side**2}]."
            )
        x = self.hook_input(images.reshape(-1, 1, side, side))
        for block in self.blocks:
            x = block(x)
        x = self.hook_hidden_post(self.hook_hidden_pre(self.hidden(x.flatten(1))).relu())
        return self.hook_logits(self.head(x))
