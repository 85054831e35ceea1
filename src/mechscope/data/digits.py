"""Handwritten digits as whole tensors: real MNIST where it is in reach, scikit-learn's small digits where not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechscope.data.folder import is_offline
from mechscope.data.mnist import MnistFiles, fetch_mnist, find_mnist

DigitsName = Literal["auto", "mnist", "sklearn"]


@dataclass(frozen=True)
class Digits:
    """A data set of digit images, held whole: training loops slice it, no loader needed."""

    train_x: Float[Tensor, "batch pixel"]
    """Brightness from 0 (paper) to 1 (ink), rows of pixels one after another."""
    train_y: Int[Tensor, " batch"]
    """The digit, 0 to 9."""
    test_x: Float[Tensor, "batch pixel"]
    """Images that training never sees."""
    test_y: Int[Tensor, " batch"]
    """Their digits."""
    side: int
    """Height and width of an image in pixels."""
    name: Literal["mnist", "sklearn"]
    """Which data set."""
    source: str
    """Where it came from, in a sentence for the report."""

    def to(self, device: str | torch.device) -> Digits:
        """The same digits on another device."""
        moved = (tensor.to(device) for tensor in (self.train_x, self.train_y, self.test_x, self.test_y))
        return Digits(*moved, side=self.side, name=self.name, source=self.source)


def load_digits(name: DigitsName = "auto", *, download: bool = True) -> Digits:
    """The digits in reach.

    "auto" takes MNIST from the data folder ($MECHSCOPE_DATA/mnist), else from the cache, else by a verified
    download (unless `download` is False or the machine is offline), else scikit-learn's 8×8 digits.

    Raises:
        ValueError: if an MNIST file is there but damaged (never replaced in silence), or `name` is unknown.
        FileNotFoundError: if "mnist" was asked for and cannot be had, with the reason and the fix.
    """
    if name not in ("auto", "mnist", "sklearn"):
        raise ValueError(f"digits are 'auto', 'mnist' or 'sklearn', not {name!r}.")
    if name == "sklearn":
        return sklearn_digits("asked for by name")
    files, why_not = _get_mnist(download)
    if files is not None:
        return mnist_digits(files)
    if name == "mnist":
        raise FileNotFoundError(
            f"MNIST is not on this machine ({why_not}). Put its four IDX files into a folder mnist/ and "
            "set MECHSCOPE_DATA to the folder that holds it."
        )
    return sklearn_digits(f"MNIST is not in reach: {why_not}")


def find_digits() -> str:
    """What `load_digits` would read without a download, in words; MNIST's checksums are verified.

    The words name what is read and not where it lies: the same digits are the same input wherever they came from.

    Raises:
        ValueError: if an MNIST file is there but damaged.
    """
    files = find_mnist()
    if files is None:
        return "scikit-learn's 8×8 digits, 1,797 images; MNIST is not on this machine"
    files.read()
    return "MNIST, 28×28 pixels, 60,000 images to train on and 10,000 to test on; checksums verified"


def fetch_digits(tell: Callable[[str], None]) -> None:
    """Download MNIST into the cache if it is nowhere on this machine.

    Args:
        tell: is told, in words, what is being waited for and what came of it; nothing where MNIST is there.
    """
    if find_mnist() is not None:
        return
    if not is_offline():
        tell("MNIST (11 MB) is not on this machine: downloading it")
    files, why_not = fetch_mnist()
    tell(
        f"MNIST could not be had ({why_not}); scikit-learn's small digits stand in for it"
        if files is None
        else f"MNIST is here ({files.where}); its checksums are right"
    )


def _get_mnist(download: bool) -> tuple[MnistFiles | None, str]:
    files = find_mnist()
    if files is not None:
        return files, ""
    return fetch_mnist() if download else (None, "it is in no data folder and not in the cache")


def mnist_digits(files: MnistFiles) -> Digits:
    """The 60,000 + 10,000 MNIST digits from verified files."""
    arrays = files.read()
    train_x, train_y, test_x, test_y = (
        arrays[part] for part in ("train-images", "train-labels", "t10k-images", "t10k-labels")
    )
    return Digits(
        train_x=_pixels(train_x, 255),
        train_y=_labels(train_y),
        test_x=_pixels(test_x, 255),
        test_y=_labels(test_y),
        side=28,
        name="mnist",
        source=f"MNIST, from {files.where}; the four files' checksums agree with the published ones",
    )


def sklearn_digits(reason: str) -> Digits:
    """scikit-learn's 1,797 real handwritten digits of 8×8 pixels; the last fifth of a fixed shuffle is the test set."""
    from sklearn.datasets import load_digits as load_sklearn_digits

    pixels, labels = map(np.asarray, load_sklearn_digits(return_X_y=True))
    images = pixels.reshape(-1, 8, 8)
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = images[order], labels[order]
    cut = len(images) * 4 // 5
    return Digits(
        train_x=_pixels(images[:cut], 16),
        train_y=_labels(labels[:cut]),
        test_x=_pixels(images[cut:], 16),
        test_y=_labels(labels[cut:]),
        side=8,
        name="sklearn",
        source=f"scikit-learn's handwritten digits of 8×8 pixels ({reason})",
    )


def _pixels(images: np.ndarray, white: int) -> Tensor:
    return torch.from_numpy(images.astype(np.float32) / white).flatten(1)


def _labels(labels: np.ndarray) -> Tensor:
    return torch.from_numpy(labels.astype(np.int64))
