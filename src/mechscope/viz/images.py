"""Many small pictures on one colour scale: weight templates, class means, eigenfeatures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from mechscope.arguments import checked_arguments
from mechscope.results.arrays import as_floats
from mechscope.viz.escaping import escape, escape_in_template
from mechscope.viz.heatmap import colour_axis
from mechscope.viz.template import new_figure


@checked_arguments
def image_grid(
    images: Any,
    labels: Sequence[str],
    *,
    title: str,
    unit: str,
    columns: int = 5,
    each_its_own_scale: bool = False,
) -> go.Figure:
    """Images [image, row, column] as one mosaic, each with a label above it.

    They share one colour scale, so that the colours of two images can be compared.

    Args:
        unit: what the colours measure.
        each_its_own_scale: divide each image by its largest magnitude first, to compare shapes only.

    Raises:
        ValueError: if `images` does not have three axes, or there is not one label per image.
    """
    stack = as_floats(images)
    if stack.ndim != 3 or not stack.size:
        raise ValueError(f"image_grid needs images [image, row, column], not shape {stack.shape}.")
    if len(labels) != len(stack):
        raise ValueError(f"{len(labels)} labels for {len(stack)} images; give one label per image.")
    if each_its_own_scale:
        peaks = np.abs(stack).max(axis=(1, 2), keepdims=True)
        stack = stack / np.where(peaks > 0, peaks, 1.0)
        unit = f"{unit}, each ÷ its largest"
    count, height, width = stack.shape
    if columns < 1:
        raise ValueError(f"columns must be at least 1, not {columns}.")
    columns = max(1, min(columns, count))
    rows = -(-count // columns)
    gap, header = max(1, width // 14), max(2, height * 2 // 9)
    cell_height, cell_width = height + header, width + gap
    aspect = rows * cell_height / (columns * cell_width - gap)
    figure = new_figure(title, "pixel column", "pixel row", height=90 + round(560 * aspect))
    for index, (image, label) in enumerate(zip(stack, labels, strict=True)):
        top, left = (index // columns) * cell_height + header, (index % columns) * cell_width
        figure.add_heatmap(
            z=image.astype(np.float32),
            x0=left,
            dx=1,
            y0=top,
            dy=1,
            name=escape(label),
            coloraxis="coloraxis",
            hovertemplate=f"{escape_in_template(label)}<br>{escape_in_template(unit)}: "
            + "%{z:.3g}<extra></extra>",
        )
        figure.add_annotation(
            x=left + (width - 1) / 2, y=top - 0.7, text=escape(label), yanchor="bottom", font={"size": 11}
        )
    # A page that draws the figure at another width computes the height from the aspect ratio.
    margin = {"l": 0, "r": 0, "t": 4, "b": 4}
    figure.update_layout(
        coloraxis=colour_axis(stack, unit, None), meta={"aspect": aspect, "margin_without_title": margin}
    )
    # Fixed ranges, because the labels and gaps are part of the picture.
    figure.update_xaxes(range=[-0.5, columns * cell_width - gap - 0.5])
    figure.update_yaxes(range=[rows * cell_height - 0.5, -0.5])
    # The ticks of a mosaic are meaningless; the axes are kept because data files need their titles.
    figure.update_xaxes(visible=False, constrain="domain")
    figure.update_yaxes(visible=False, scaleanchor="x", constrain="domain")
    return figure
