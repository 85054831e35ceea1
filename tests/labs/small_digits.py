"""Small real digits for tests of step 00: a twelfth of MNIST's pixels, so that training takes a second."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits as load_sklearn_digits

from mechscope.data.digits import Digits


def small_digits() -> Digits:
    """scikit-learn's 1,797 handwritten digits of 8×8 pixels; the last fifth of a fixed shuffle is the test set."""
    pixels, labels = map(np.asarray, load_sklearn_digits(return_X_y=True))
    order = np.random.default_rng(0).permutation(len(pixels))
    x = torch.from_numpy(pixels[order].astype(np.float32) / 16)
    y = torch.from_numpy(labels[order].astype(np.int64))
    cut = len(x) * 4 // 5
    return Digits(
        x[:cut], y[:cut], x[cut:], y[cut:], side=8, name="scikit-learn's small digits", source="scikit-learn"
    )
