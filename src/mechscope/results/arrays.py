"""Convert tensors of any type and device, arrays and lists to NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def as_array(values: Any) -> NDArray[Any]:
    """The values as an array; half precision becomes float32, which NumPy and figures can handle.

    >>> import torch
    >>> as_array(torch.tensor([1.0, 2.0], dtype=torch.bfloat16))
    array([1., 2.], dtype=float32)
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if values.is_floating_point() and values.dtype.itemsize < 4:
            values = values.float()
        values = values.resolve_conj().resolve_neg().numpy()
    array = np.asarray(values)
    return array.astype(np.float32) if array.dtype == np.float16 else array


def as_floats(values: Any) -> NDArray[np.float64]:
    """The values as an array of float64, for arithmetic and figures."""
    return as_array(values).astype(np.float64)
