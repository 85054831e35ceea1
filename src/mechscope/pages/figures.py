"""Figures on a page: the data that its script (templates/figures.js) draws, and the light and dark themes."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from markupsafe import Markup

from mechscope.pages.formatting import code_spans, with_minus
from mechscope.viz import DARK, LIGHT, house_template
from mechscope.viz.escaping import unescape


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


def figure_html(figure: PageFigure) -> Markup:
    """HTML for a figure with its heading and caption, which the page's script draws."""
    content = json.loads(str(figure.figure.to_json()))
    layout = content["layout"]
    # The page shows the title as a heading, which wraps on a phone, and sets the theme's template.
    title = unescape(str(layout.pop("title", {}).get("text", figure.name)))
    layout.pop("template", None)
    meta = layout.get("meta", {})
    layout["margin"] = {"l": 12, "r": 12, "t": 40 if layout.get("showlegend") else 16, "b": 12}
    # Plotly reserves space for axis titles, but not for text that belongs to several axes at once.
    layout["margin"] |= meta.get("margin_without_title", {})
    width = f";max-width:{meta['max_width']}px" if "max_width" in meta else ""
    data = _json_for_script({"data": content["data"], "layout": layout})
    name, heading = html.escape(figure.name), html.escape(with_minus(title))
    return Markup(
        f'<figure id="figure-{name}"><h3>{heading}</h3>'
        f'<div class="plot" role="img" aria-label="{heading}" aria-describedby="caption-{name}" '
        f'style="height:{layout["height"]}px{width}"></div>'
        f'<script type="application/json" class="plot-data">{data}</script>{_without_script(figure)}'
        f'<figcaption id="caption-{name}">{code_spans(with_minus(figure.caption))}</figcaption></figure>'
    )


def _without_script(figure: PageFigure) -> str:
    link = figure.numbers_link
    numbers = f' Its numbers: <a href="{link}">{link}</a>' if link else ""
    return f'<noscript><p class="missing">This picture needs JavaScript.{numbers}</p></noscript>'


def theme_templates() -> Markup:
    """The Plotly templates of both themes, as JSON for the page's script."""
    return _json_for_script({"light": _template(LIGHT), "dark": _template(DARK)})


def _template(name: str) -> Mapping[str, Any]:
    return house_template(name).to_plotly_json()


def _json_for_script(value: Any) -> Markup:
    # "</script>" or "<!--" inside a string would end the script element.
    return Markup(json.dumps(value, ensure_ascii=False).replace("<", "\\u003c"))
