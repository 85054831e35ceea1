"""Compute with more digits than a model's own data type has.

bfloat16 keeps 8 significant bits and float16 keeps 11: enough for an activation, too few for a sum of many or a
small difference of large numbers. So losses, log-probabilities, metrics and statistics are computed in float32,
and in float64 where that is what they were given.
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
