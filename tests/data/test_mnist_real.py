"""The real MNIST files, where the data folder has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mechscope.data.digits import load_digits
from mechscope.data.mnist import find_mnist


def test_the_published_digits(data_folder: Path) -> None:
    if find_mnist() is None:
        pytest.skip(f"{data_folder} has no mnist/")
    digits = load_digits("mnist")
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert digits.train_y.bincount().tolist() == counts
    assert digits.test_x.shape == (10_000, 784)
    assert float(digits.train_x.mean()) == pytest.approx(0.1307, abs=1e-4)
