"""One head's attention pattern as a heat map, with the tokens along both axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from mechscope.arguments import checked_arguments
from mechscope.results.arrays import as_floats
from mechscope.viz.heatmap import heatmap


@checked_arguments
def attention_pattern(pattern: Any, *, title: str, tokens: Sequence[str] | None = None) -> go.Figure:
    """Heat map of one head's pattern [query, key] (rows sum to 1, or are 0 where the query is padding).

    Raises:
        ValueError: if it is not a matrix, or a row's weights do not sum to 1.
    """
    matrix = as_floats(pattern)
    if matrix.ndim != 2:
        raise ValueError(
            f"one head's pattern is a matrix [query, key], not shape {matrix.shape}; pick a head first."
        )
    sums = matrix.sum(-1)
    if matrix.any():
        sums[(matrix == 0).all(-1)] = 1.0
    if not np.allclose(sums, 1, atol=1e-2):
        row = int(np.abs(sums - 1).argmax())
        raise ValueError(
            f"row {row} of the pattern sums to {sums[row]:.3g}, not 1: is it scores, or transposed?"
        )
    figure = heatmap(
        matrix,
        title=title,
        x_title="key position (attended to)",
        y_title="query position (attends)",
        unit="attention probability",
        x=tokens,
        y=tokens,
        centred=False,
        write_numbers=False,
        square=True,
    )
    figure.update_layout(height=520, coloraxis_cmin=0, coloraxis_cmax=1)
    figure.data[0].update(xgap=0, ygap=0)
    return figure
