"""Eigenvalue spectra: how many directions matter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from mechscope.arguments import checked_arguments
from mechscope.results.arrays import as_array
from mechscope.viz.escaping import escape, escape_in_template
from mechscope.viz.template import DASHES, new_figure


@checked_arguments
def spectrum(
    eigenvalues: Mapping[str, Any],
    *,
    title: str,
    y_title: str = "|eigenvalue| ÷ largest",
    most: int = 60,
) -> go.Figure:
    """Magnitudes in descending order, each spectrum divided by its largest, on a logarithmic axis.

    Args:
        eigenvalues: name → eigenvalues (real or complex) [rank], in any order.
        most: how many of the largest to draw.

    Raises:
        ValueError: if a spectrum is empty, not a vector, or all zero.
    """
    if not eigenvalues:
        raise ValueError(f"{title!r} has no spectrum to draw.")
    figure = new_figure(title, "rank of the eigenvalue by size", y_title)
    for index, (name, values) in enumerate(eigenvalues.items()):
        sizes = np.sort(np.abs(as_array(values)))[::-1]
        if sizes.ndim != 1 or not sizes.size or sizes[0] == 0:
            raise ValueError(
                f"spectrum {name!r} has shape {sizes.shape}; it needs a vector that is not all zero."
            )
        sizes = sizes[:most] / sizes[0]
        figure.add_scatter(
            x=np.arange(1, len(sizes) + 1),
            y=sizes,
            name=escape(name),
            mode="lines",
            line={"dash": DASHES[index % len(DASHES)], "width": 2},
            hovertemplate=f"{escape_in_template(name)}: %{{y:.3g}}<extra></extra>",
        )
    figure.update_yaxes(type="log", exponentformat="power", dtick=1, range=[-3, 0.1])
    figure.update_layout(showlegend=len(eigenvalues) > 1, hovermode="x unified")
    return figure
