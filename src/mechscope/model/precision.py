"""Compute with a higher precision than the model's own data type.

bfloat16 has 8 significant bits and float16 has 11: enough for an activation, too few for a sum of many numbers or a
small difference of large ones. So losses, log-probabilities, metrics and statistics are computed in float32, or in
float64 if their inputs are float64.
"""

from __future__ import annotations

import torch


def at_least_float32(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor itself if it is float32 or float64, otherwise a float32 copy.

    >>> at_least_float32(torch.ones(1, dtype=torch.bfloat16)).dtype
    torch.float32
    >>> at_least_float32(torch.ones(1, dtype=torch.float64)).dtype
    torch.float64
    """
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()
