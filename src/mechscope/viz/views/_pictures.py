"""Pictures in HTML that show a view's numbers without any script."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mechscope.arguments import visible_token
from mechscope.viz.colour_scale import ColourScale, text_on
from mechscope.viz.png import data_url, matrix_png

LARGEST_TABLE = 400
"""Up to how many cells a matrix is shown as a table of numbers; larger ones are shown as an image."""
IMAGE_CELL = 3
"""How many pixels a cell of an image takes at least."""
LARGEST_IMAGE = 480
TOKEN_STYLE = (
    "display:inline-block;font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;white-space:pre;"
    "border-radius:4px;padding:1px 4px;margin:1px"
)


def number_text(value: float) -> str:
    """A number with three digits and a true minus sign."""
    return f"{value:.3g}".replace("-", "−")


def text_html(text: object) -> str:
    """Text for HTML, also inside an attribute."""
    return html.escape(str(text))


def token_html(token: str) -> str:
    """A token with visible spaces, for HTML."""
    return text_html(visible_token(token)) or "∅"


def paragraph(text: str) -> str:
    """A line of text, escaped."""
    return f'<p style="margin:4px 0">{text_html(text)}</p>'


def tokens_picture(
    tokens: Sequence[str],
    values: NDArray[np.float32] | None,
    scale: ColourScale | None,
    *,
    titles: Sequence[str] | None = None,
    unit: str = "",
    line_breaks: bool = False,
) -> str:
    """A text whose tokens are coloured by a value each; NaN for none."""
    boxes: list[str] = []
    for index, token in enumerate(tokens):
        value = float("nan") if values is None else float(values[index])
        known = scale is not None and np.isfinite(value)
        title = f"{index}" if not known else f"{index}: {number_text(value)} {unit}".rstrip()
        title = title if titles is None else titles[index]
        colours = _colours(scale, value) if scale is not None and known else "background:#f0f2f5"
        boxes.append(
            f'<span dir="auto" style="{TOKEN_STYLE};{colours}" title="{text_html(title)}">{token_html(token)}</span>'
        )
        if line_breaks and token.endswith("\n"):
            boxes.append("<br>")
    return f"<div>{''.join(boxes)}</div>"


def matrix_picture(
    values: NDArray[np.float32],
    rows: Sequence[str],
    columns: Sequence[str],
    scale: ColourScale,
    label: str,
    unit: str = "",
) -> str:
    """A matrix [row, column] as a table of numbers; a large one as an image, with its largest cells in words."""
    heading = paragraph(f"{label}: {number_text(scale.low)} to {number_text(scale.high)} {unit}".rstrip())
    if values.size <= LARGEST_TABLE:
        return heading + _table(values, rows, columns, scale)
    return heading + image(values, scale, label) + paragraph(_largest(values, rows, columns))


def image(values: NDArray[np.float32], scale: ColourScale, label: str, width: int | None = None) -> str:
    """A matrix as an image, one pixel per cell, enlarged without smoothing."""
    shown = width or min(max(IMAGE_CELL * values.shape[1], 300), LARGEST_IMAGE)
    url = data_url(matrix_png(values.astype(np.float64), scale))
    return (
        f'<img alt="{text_html(label)}" src="{url}" width="{shown}" '
        'style="image-rendering:pixelated;border:1px solid #dfe4ea;max-width:100%;height:auto">'
    )


def _colours(scale: ColourScale, value: float) -> str:
    colour = scale.colours(value)
    return f"background:{scale.hex(value)};color:{text_on(colour)}"


def _table(
    values: NDArray[np.float32], rows: Sequence[str], columns: Sequence[str], scale: ColourScale
) -> str:
    cell = "padding:2px 5px;border:0;text-align:right;font-size:12px;font-variant-numeric:tabular-nums"
    head = "padding:2px 5px;border:0;font-weight:400;font-size:12px;white-space:pre;text-align:right"
    top = "".join(f'<th scope="col" style="{head}">{text_html(name)}</th>' for name in columns)
    lines = [f"<tr><td></td>{top}</tr>"]
    for name, row in zip(rows, values, strict=True):
        cells = "".join(
            f'<td style="{cell};{_colours(scale, float(value))}">{number_text(float(value))}</td>'
            if np.isfinite(value)
            else "<td></td>"
            for value in row
        )
        lines.append(f'<tr><th scope="row" style="{head}">{text_html(name)}</th>{cells}</tr>')
    return f'<table style="border-collapse:collapse;width:auto">{"".join(lines)}</table>'


def _largest(values: NDArray[np.float32], rows: Sequence[str], columns: Sequence[str], count: int = 5) -> str:
    size = np.where(np.isfinite(values), np.abs(values), -1.0).ravel()
    best = np.argsort(-size, kind="stable")[:count]
    places: list[tuple[Any, ...]] = [np.unravel_index(index, values.shape) for index in best]
    words = [f"{rows[i]} → {columns[j]} {number_text(float(values[i, j]))}" for i, j in places]
    return f"Largest: {'; '.join(words)}."
