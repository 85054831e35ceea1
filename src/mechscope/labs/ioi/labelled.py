"""The numbers behind a figure that has one row of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mechscope.results import Provenance, Result, make_result


def labelled(
    values: Sequence[float],
    dim: str,
    labels: Sequence[str] | None,
    title: str,
    unit: str,
    made_by: Provenance,
) -> Result:
    """A row of numbers as a result.

    Args:
        dim: what stands along it.
        labels: what each number belongs to; None if they are draws.
    """
    coords = None if labels is None else {dim: list(labels)}
    return make_result(torch.tensor(list(values), dtype=torch.float64), (dim,), title, unit, made_by, coords)
