"""The most similar rows of a matrix, by cosine."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

ROWS_AT_ONCE = 512


def most_similar(rows: Float[Tensor, "row width"], count: int) -> Iterator[list[tuple[int, float]]]:
    """For each row in turn, the other rows with the highest cosines, the highest first.

    Rows of zeros resemble nothing, so they have no neighbours and are nobody's.

    >>> list(most_similar(torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 0.0], [3.0, 4.0]]), 2))[3]
    [(0, 0.6000000238418579), (1, 0.6000000238418579)]
    """
    units = F.normalize(rows, dim=-1)
    is_zero = ~units.any(-1)
    for start in range(0, len(units), ROWS_AT_ONCE):
        some = units[start : start + ROWS_AT_ONCE]
        cosines = some @ units.T
        cosines[:, is_zero] = -torch.inf
        own = torch.arange(len(some))
        cosines[own, own + start] = -torch.inf
        best = cosines.topk(min(count, len(units)), dim=-1)
        for row, (values, indices) in enumerate(zip(best.values, best.indices, strict=True)):
            if is_zero[start + row]:
                yield []
                continue
            found = [
                (index, similarity)
                for similarity, index in zip(values.tolist(), indices.tolist(), strict=True)
                if similarity > -torch.inf
            ]
            # topk does not say in which order it returns equal ones.
            yield sorted(found, key=lambda pair: (-pair[1], pair[0]))
