"""Figures on a page: what its script (templates/figures.js) draws, and the themes that it draws in."""

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
    """A figure with the words that go with it."""

    name: str
    """Short name: the page places the figure by it."""
    figure: go.Figure
    """The picture, titled, with both axes named."""
    caption: str
    """What is drawn, and what to look for in it."""

    @property
    def numbers_link(self) -> str | None:
        """From the page to the file with the numbers behind the figure; None if there is none."""
        return None


def figure_html(figure: PageFigure) -> Markup:
    """A figure with its heading and caption, ready for the page's script to draw."""
    content = json.loads(str(figure.figure.to_json()))
    layout = content["layout"]
    # The page writes the title as a heading (it wraps on a phone) and sets the theme's template.
    title = unescape(str(layout.pop("title", {}).get("text", figure.name)))
    layout.pop("template", None)
    meta = layout.get("meta", {})
    layout["margin"] = {"l": 12, "r": 12, "t": 40 if layout.get("showlegend") else 16, "b": 12}
    # Plotly makes room for the titles of axes, but not for what is written beside several axes at once.
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
    """The templates of both themes, as the page's script reads them."""
    return _json_for_script({"light": _template(LIGHT), "dark": _template(DARK)})


def _template(name: str) -> Mapping[str, Any]:
    return house_template(name).to_plotly_json()


def _json_for_script(value: Any) -> Markup:
    # "</script>" or "<!--" inside a string would end the script element.
    return Markup(json.dumps(value, ensure_ascii=False).replace("<", "\\u003c"))
