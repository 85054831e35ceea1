"""Handwritten digits as whole tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechscope.arguments import brief_repr
from mechscope.data.mnist import read_mnist


@dataclass(frozen=True)
class Digits:
    """A data set of digit images in memory: training loops slice it, so no loader is needed."""

    train_x: Float[Tensor, "train pixel"]
    """Brightness from 0 (paper) to 1 (ink), pixels in row-major order."""
    train_y: Int[Tensor, " train"]
    """The digit, 0 to 9."""
    test_x: Float[Tensor, "test pixel"]
    """Held-out images, never used for training."""
    test_y: Int[Tensor, " test"]
    """Their digits."""
    side: int
    """Height and width of an image in pixels."""
    name: str
    """Which data set."""
    source: str
    """Where the digits were read from, in a sentence."""

    __repr__ = brief_repr

    def to(self, device: str | torch.device) -> Digits:
        """The same digits on another device."""
        moved = (tensor.to(device) for tensor in (self.train_x, self.train_y, self.test_x, self.test_y))
        return Digits(*moved, side=self.side, name=self.name, source=self.source)


def load_digits() -> Digits:
    """MNIST's 60,000 training and 10,000 test digits, from the package; needs no network.

    If $MECHSCOPE_DATA contains a folder `mnist/` with the four IDX files, that is read instead.

    Raises:
        FileNotFoundError: if MECHSCOPE_DATA names a folder that does not exist.
        ValueError: if a file differs from the published one; the error gives both checksums.
    """
    found = read_mnist()
    train_x, train_y, test_x, test_y = (
        found.arrays[part] for part in ("train-images", "train-labels", "t10k-images", "t10k-labels")
    )
    return Digits(
        train_x=_pixels(train_x),
        train_y=_labels(train_y),
        test_x=_pixels(test_x),
        test_y=_labels(test_y),
        side=28,
        name="MNIST",
        source=f"MNIST, from {found.where}; the checksums of the four files match the published ones.",
    )


def describe_digits() -> str:
    """A description of what `load_digits` reads; MNIST's checksums are verified.

    It does not say where the files were read from: the same digits are the same input wherever they came from.

    Raises:
        As `load_digits`.
    """
    read_mnist()
    return "MNIST, 28×28 pixels, 60,000 images to train on and 10,000 to test on; checksums verified"


def _pixels(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images.astype(np.float32) / 255).flatten(1)


def _labels(labels: np.ndarray) -> Tensor:
    return torch.from_numpy(labels.astype(np.int64))
