"""Horizontal bars, one per row in the given order, so that long names are readable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from mechscope.arguments import checked_arguments
from mechscope.results.arrays import as_floats
from mechscope.viz.escaping import escape
from mechscope.viz.template import new_figure


@checked_arguments
def ranked_bars(
    names: Sequence[str],
    values: Any,
    *,
    title: str,
    x_title: str,
    y_title: str,
    spread: Any = None,
    number_format: str = ".3g",
) -> go.Figure:
    """Horizontal bars, the first on top, each labelled with its number.

    Args:
        spread: half the length of each bar's error bar, if any.

    Raises:
        ValueError: if there are no values, or not one per name.
    """
    lengths = as_floats(values)
    if lengths.shape != (len(names),) or not len(names):
        raise ValueError(
            f"{title!r} has {len(names)} names but values of shape {lengths.shape}; give one value per name."
        )
    if spread is not None and as_floats(spread).shape != lengths.shape:
        raise ValueError(
            f"{title!r} has {len(names)} values but a spread of shape {as_floats(spread).shape}; give one per value."
        )
    words = [escape(name) for name in names]
    figure = new_figure(title, x_title, y_title, height=120 + 22 * len(names))
    figure.add_bar(
        x=lengths,
        # Use numeric positions with text labels: bars that share a name would overlap.
        y=list(range(len(names))),
        orientation="h",
        texttemplate=f"%{{x:{number_format}}}",
        textposition="auto",
        customdata=words,
        hovertemplate=f"%{{customdata}}: %{{x:{number_format}}}<extra></extra>",
        error_x=None if spread is None else {"array": as_floats(spread)},
        cliponaxis=False,
    )
    figure.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=words,
        autorange="reversed",
        showgrid=False,
        zeroline=False,
    )
    figure.update_layout(bargap=0.2, showlegend=False)
    return figure
