"""Figures on a page: the data that its script (templates/figures.js) draws, and the light and dark themes."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import numpy as np
import plotly.graph_objects as go
from markupsafe import Markup

from mechscope.pages.formatting import code_spans, with_minus
from mechscope.viz import DARK, LIGHT, house_template
from mechscope.viz.escaping import unescape

NAME = re.compile(r"[\w-]+")
TRACES = ("bar", "box", "contour", "heatmap", "histogram", "scatter", "violin")
"""Kinds of Plotly traces that a page draws: those that load nothing."""
LOADING = ("images", "geo", "map", "mapbox")
"""Parts of a Plotly layout that would load something from elsewhere."""
DIGITS = 6
"""Significant digits that a figure's coordinates keep."""
PICTURE = 256
"""A map with at least this many cells is a picture."""
HEIGHT = 380
"""Pixels of a figure that does not say how high it is."""


@dataclass(frozen=True)
class PageFigure:
    """A figure with its name and caption."""

    name: str
    """Short name, by which a lesson places the figure."""
    figure: go.Figure
    """The Plotly figure, with a title and with names on both axes."""
    caption: str
    """What the figure shows, and what to look for in it."""

    @property
    def numbers_link(self) -> str | None:
        """Relative link from the page to a file with the figure's numbers, or None."""
        return None


@dataclass(frozen=True)
class DrawnFigure:
    """A figure as plain data: what a page, a report and a file of a run have in common."""

    name: str
    """Short name, by which a lesson places the figure."""
    title: str
    """Its heading."""
    caption: str
    """What the figure shows, and what to look for in it."""
    plot: Mapping[str, Any]
    """`data` and `layout` as Plotly reads them, without title and theme."""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"a figure's name has letters, digits, - and _, unlike {self.name!r}.")
        _check_plot(self.plot, f"figure {self.name!r}")


def set_height(figure: go.Figure) -> None:
    """Give a figure a height if it has none: a page reserves room for a figure before it is drawn."""
    layout: Any = figure.layout
    if layout.height is None:
        figure.update_layout(height=HEIGHT)


def draw_figure(figure: PageFigure) -> DrawnFigure:
    """The figure as plain data, with six significant digits."""
    content = json.loads(str(figure.figure.to_json()))
    layout = content["layout"]
    # The page shows the title as a heading, which wraps on a phone, and sets the theme's template.
    title = unescape(str(layout.pop("title", {}).get("text", figure.name)))
    layout.pop("template", None)
    meta = layout.get("meta", {})
    layout["margin"] = {"l": 12, "r": 12, "t": 40 if layout.get("showlegend") else 16, "b": 12}
    # Plotly reserves space for axis titles, but not for text that belongs to several axes at once.
    layout["margin"] |= meta.get("margin_without_title", {})
    plot = _shortened({"data": content["data"], "layout": layout})
    return DrawnFigure(figure.name, title, figure.caption, plot)


def figure_html(figure: PageFigure | DrawnFigure, numbers_link: str | None = None) -> Markup:
    """HTML for a figure with its heading and caption, which the page's scripts draw.

    Args:
        figure: the figure.
        numbers_link: relative link to a file with its numbers, for pages without a script.
    """
    if isinstance(figure, PageFigure):
        figure, numbers_link = draw_figure(figure), figure.numbers_link
    layout = figure.plot["layout"]
    meta = layout.get("meta", {})
    width = f";max-width:{meta['max_width']}px" if "max_width" in meta else ""
    data = _json_for_script(figure.plot)
    name, heading = html.escape(figure.name), html.escape(with_minus(figure.title))
    return Markup(
        f'<figure id="figure-{name}"><h3>{heading}</h3>'
        f'<div class="plot" role="img" aria-label="{heading}" aria-describedby="caption-{name}" '
        f'style="height:{layout["height"]}px{width}"></div>'
        f'<script type="application/json" class="plot-data">{data}</script>{_without_script(numbers_link)}'
        f'<figcaption id="caption-{name}">{code_spans(with_minus(figure.caption))}</figcaption>'
        '<details class="figure-numbers"><summary>Numbers</summary></details></figure>'
    )


def _without_script(link: str | None) -> str:
    numbers = f' Its numbers: <a href="{link}">{link}</a>' if link else ""
    return f'<noscript><p class="missing">This picture needs JavaScript.{numbers}</p></noscript>'


@cache
def theme_templates() -> Markup:
    """The Plotly templates of both themes, as JSON for the page's script."""
    return _json_for_script({"light": _template(LIGHT), "dark": _template(DARK)})


def _template(name: str) -> Mapping[str, Any]:
    return house_template(name).to_plotly_json()


def _json_for_script(value: Any) -> Markup:
    # "</script>" or "<!--" inside a string would end the script element.
    return Markup(json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"))


def _shortened(value: Any) -> Any:
    """A Plotly value whose numbers have DIGITS digits; arrays of doubles become arrays of half the size or less."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, list):
        return [_shortened(each) for each in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    fields = cast("dict[str, Any]", value)
    if fields.get("dtype") in ("f4", "f8") and "bdata" in fields:
        doubles = np.frombuffer(base64.b64decode(fields["bdata"]), f"<{fields['dtype']}").astype(np.float64)
        if "shape" in fields and doubles.size >= PICTURE and np.isfinite(doubles).all():
            # A picture, of which nobody sees the fifth digit: whole numbers of 16 bits, which plot_arrays.js scales.
            scale = float(np.abs(doubles).max()) / (2**15 - 1) or 1.0
            return fields | {"dtype": "i2", "scale": scale, "bdata": _base64(np.rint(doubles / scale), "<i2")}
        if fields["dtype"] == "f4":
            return fields
        # Whole numbers beyond 2**24 would change.
        if np.array_equal(np.rint(doubles), doubles) and np.abs(doubles).max(initial=0) > 2**24:
            return fields
        return fields | {"dtype": "f4", "bdata": _base64(doubles, "<f4")}
    return {name: _shortened(each) for name, each in fields.items()}


def _base64(values: np.ndarray[Any, Any], dtype: str) -> str:
    return base64.b64encode(values.astype(dtype).tobytes()).decode()


def _check_plot(plot: Mapping[str, Any], what: str) -> None:
    """Refuse what the page's script could not draw, and what would load something."""
    data, layout = plot.get("data"), plot.get("layout")
    if not isinstance(data, list) or not isinstance(layout, Mapping):
        raise ValueError(f"{what} must have a list `data` and an object `layout`.")
    for trace in cast("list[Any]", data):
        kind = trace.get("type") if isinstance(trace, Mapping) else trace
        if kind not in TRACES:
            raise ValueError(f"{what} has a trace of kind {kind!r}; known are {', '.join(TRACES)}.")
    if stray := sorted(name for name in layout if name.rstrip("0123456789") in LOADING):
        raise ValueError(f"{what} has {stray[0]!r} in its layout, which would load files from elsewhere.")
    meta = layout.get("meta", {})
    if not isinstance(meta, Mapping):
        raise ValueError(f"{what}: layout.meta must be an object.")
    sizes = {"height": layout.get("height")}
    sizes |= {f"meta.{name}": meta[name] for name in ("max_width", "aspect") if name in meta}
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int | float) or not 0 < size < 20_000:
            raise ValueError(f"{what}: {name} must be a positive number, not {size!r}.")
    try:
        json.dumps(plot, allow_nan=False)
    except ValueError as error:
        raise ValueError(f"{what} has a number that JSON cannot hold.") from error
