"""A figure as an SVG image in the house style, for pages without scripts: a heat map, or lines or dots on one axis."""

from __future__ import annotations

from collections.abc import Sequence
from html import unescape
from typing import Any

import numpy as np
import plotly.graph_objects as go

from mechscope.viz.palette import LIGHT_PALETTE
from mechscope.viz.svg import Svg
from mechscope.viz.template import DASHES
from mechscope.viz.ticks import ticks

WIDTH, TOP, SMALL = 760, 64, 11
LETTER = 6.1
"""Width of a letter of the small font, in pixels."""
MOST_TICKS = 40
DASH_LENGTHS = ("", "7 4", "2 3", "7 3 2 3", "11 4", "11 3 2 3")


def figure_svg(figure: go.Figure) -> str:
    """Draw a figure that consists of one heat map, or of lines or dots over one axis, as SVG text.

    >>> from mechscope.viz import heatmap
    >>> figure_svg(heatmap([[0.0, 1.0]], title="t", x_title="x", y_title="y", unit="1")).startswith("<svg")
    True

    Raises:
        ValueError: for a figure with other parts.
    """
    traces: Any = figure.data
    kinds: list[str] = [trace.type for trace in traces]
    if (
        len(
            {(getattr(trace, "xaxis", None) or "x", getattr(trace, "yaxis", None) or "y") for trace in traces}
        )
        > 1
    ):
        raise ValueError(
            "only one heat map, or lines over one axis, can be drawn as SVG; this figure has panels."
        )
    if kinds == ["heatmap"]:
        return str(_heatmap(figure))
    if set(kinds) == {"scatter"}:
        return str(_lines(figure))
    found = ", ".join(sorted(set(kinds))) or "nothing"
    raise ValueError(f"only one heat map, or lines, can be drawn as SVG; this is a figure of {found}.")


def _heatmap(figure: Any) -> Svg:
    trace: Any = figure.data[0]
    matrix = np.asarray(trace.z, dtype=float)
    top_row_first = figure.layout.yaxis.autorange == "reversed"
    matrix = matrix if top_row_first else matrix[::-1]
    axis = figure.layout.coloraxis
    low, high = float(axis.cmin), float(axis.cmax)
    rows, columns = (
        [unescape(label) for label in _labels(each)] for each in (figure.layout.yaxis, figure.layout.xaxis)
    )
    left = 58 + LETTER * max(map(len, rows))
    row = max(12.0, min(26.0, 420 / len(matrix)))
    column = min((WIDTH - left - 110) / matrix.shape[1], 62.0)
    # Long labels are written upwards.
    long = max(map(len, columns)) * LETTER > column * len(matrix[0]) / len(columns)
    below = LETTER * max(map(len, columns)) + 8 if long else 18.0
    height, width = row * len(matrix), column * matrix.shape[1]
    image = _frame(figure, left, height, width, below)
    for (i, j), value in np.ndenumerate(matrix):
        x, y = left + j * column, TOP + i * row
        image.rectangle(x, y, column - 1, row - 1, _colour(value, low, high))
        if column >= 30 and abs(value) >= 0.05:
            on_dark = abs(value) > 0.55 * max(abs(low), abs(high))
            words = f"{value:.2f}".replace("0.", ".").replace("-", "−")
            place = x + column / 2, y + row / 2 + 3.5
            image.text(*place, words, anchor="middle", font_size=10, colour="#ffffff" if on_dark else "")
    for place, label in zip(figure.layout.yaxis.tickvals, rows, strict=True):
        from_top = place if top_row_first else len(matrix) - 1 - place
        image.text(left - 7, TOP + (from_top + 0.5) * row + 4, label, anchor="end", font_size=SMALL)
    for place, label in zip(figure.layout.xaxis.tickvals, columns, strict=True):
        x = left + (place + 0.5) * column
        if long:
            image.text(x + 4, TOP + height + 6, label, anchor="end", font_size=SMALL, upwards=True)
        else:
            image.text(x, TOP + height + 16, label, anchor="middle", font_size=SMALL)
    _colour_bar(image, _words(axis.colorbar.title.text), (low, high), left + width + 20, height)
    return image


def _labels(axis: Any) -> list[str]:
    return [str(label) for label in axis.ticktext]


def _colour_bar(image: Svg, unit: str, limits: tuple[float, float], x: float, height: float) -> None:
    low, high = limits
    steps = 40
    for step in range(steps):
        value = high - (step + 0.5) / steps * (high - low)
        image.rectangle(x, TOP + height * step / steps, 12, height / steps + 0.5, _colour(value, low, high))
    for tick in ticks(low, high, log=False):
        y = TOP + height * (high - tick) / (high - low)
        image.text(x + 17, y + 4, _number(tick), font_size=SMALL)
    image.text(x + 62, TOP + height / 2, unit, anchor="middle", font_size=SMALL, upwards=True)


def _lines(figure: Any) -> Svg:
    traces: list[Any] = [trace for trace in figure.data if trace.y is not None and trace.fill is None]
    log = figure.layout.xaxis.type == "log"
    labels: list[Any] = list(dict.fromkeys(x for trace in traces for x in trace.x))
    in_words = any(isinstance(label, str) for label in labels)
    xs = [[float(labels.index(x)) if in_words else float(x) for x in trace.x] for trace in traces]
    flat = [x for some in xs for x in some]
    log_y = figure.layout.yaxis.type == "log"

    def has_place(y: float) -> bool:
        return bool(np.isfinite(y)) and (y > 0 or not log_y)

    values = [float(value) for trace in traces for value in trace.y if has_place(value)]
    low, high = min(values) if log_y else min(0.0, *values), max(values)
    left, width, height = 76.0, float(WIDTH - 76 - 30), 280.0
    image = _frame(figure, left, height, width, 18)

    def across(x: float) -> float:
        first, at, last = (np.log10(one) if log else one for one in (min(flat), x, max(flat)))
        return left + width * float((at - first) / ((last - first) or 1))

    def down(y: float) -> float:
        least, at, most = (float(np.log10(one)) if log_y else one for one in (low, y, high))
        return TOP + height * (most - at) / ((most - least) or 1)

    for tick in ticks(low, high, log=log_y):
        image.line((left, down(tick)), (left + width, down(tick)), LIGHT_PALETTE.faint)
        image.text(left - 8, down(tick) + 4, _number(tick), anchor="end", font_size=SMALL)
    marks: Sequence[float] = range(len(labels)) if in_words else ticks(min(flat), max(flat), log=log)
    for mark in marks:
        words = unescape(str(labels[int(mark)])) if in_words else _number(mark)
        image.text(across(mark), TOP + height + 16, words, anchor="middle", font_size=SMALL)
    x = left
    for index, (trace, points) in enumerate(zip(traces, xs, strict=True)):
        colour = LIGHT_PALETTE.series[index % len(LIGHT_PALETTE.series)]
        dash = DASH_LENGTHS[DASHES.index(trace.line.dash)] if trace.line.dash in DASHES else ""
        drawn = [(across(at), down(float(y))) for at, y in zip(points, trace.y, strict=True) if has_place(y)]
        is_joined = "lines" in (trace.mode or "lines")
        if not is_joined:
            for x_of_dot, y_of_dot in drawn:
                image.dot(x_of_dot, y_of_dot, 3, colour)
        else:
            image.polyline(drawn, colour, 2, dash)
        if len(traces) > 1:
            name = _words(trace.name)
            if not is_joined:
                image.dot(x + 11, 46, 3, colour)
            else:
                image.line((x, 46), (x + 22, 46), colour, 2, dash)
            image.text(x + 27, 50, name, font_size=SMALL)
            x += 44 + LETTER * len(name)
    return image


def _frame(figure: Any, left: float, height: float, width: float, below: float) -> Svg:
    """An empty image with the titles of a figure and of its axes.

    Args:
        left: where the plot begins; it is `height` by `width` pixels.
        below: room for the labels under it.
    """
    image = Svg(WIDTH, TOP + height + below + 28)
    layout = figure.layout
    middle = {"x": left + width / 2, "y": TOP + height / 2}
    image.text(16, 26, _words(layout.title.text), font_size=15)
    image.text(
        middle["x"], TOP + height + below + 18, _words(layout.xaxis.title.text), anchor="middle", font_size=12
    )
    image.text(20, middle["y"], _words(layout.yaxis.title.text), anchor="middle", font_size=12, upwards=True)
    return image


def _words(text: str | None) -> str:
    return unescape(text or "").replace("<br>", " ")


def _number(value: float) -> str:
    return f"{value:,.10g}".replace("-", "−")


def _colour(value: float, low: float, high: float) -> str:
    """The colour of a value: on the diverging scale if zero is in the middle, otherwise on the sequential one."""
    if not np.isfinite(value):
        return LIGHT_PALETTE.faint
    scale = LIGHT_PALETTE.diverging if low == -high else LIGHT_PALETTE.sequential
    at = min(max((value - low) / (high - low), 0.0), 1.0) * (len(scale) - 1)
    first = min(int(at), len(scale) - 2)
    below, above = ([int(scale[first + step][i : i + 2], 16) for i in (1, 3, 5)] for step in (0, 1))
    mixed = [round(a + (b - a) * (at - first)) for a, b in zip(below, above, strict=True)]
    return "#" + "".join(f"{part:02x}" for part in mixed)
