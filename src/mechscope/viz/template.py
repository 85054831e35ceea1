"""The house style as Plotly templates: a figure changes theme by changing its template, nothing else."""

from __future__ import annotations

from functools import cache

import plotly.graph_objects as go

from mechscope.viz.escaping import escape
from mechscope.viz.palette import DARK_PALETTE, LIGHT_PALETTE, Palette

LIGHT = "mechscope"
DARK = "mechscope-dark"

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
"""Series differ in dash as well as colour, so that they can be told apart in greyscale."""


@cache
def house_template(name: str = LIGHT) -> go.layout.Template:
    """The template of a theme, LIGHT or DARK.

    Raises:
        ValueError: for another name.
    """
    if name not in (LIGHT, DARK):
        raise ValueError(f"there is no template {name!r}; use {LIGHT!r} or {DARK!r}.")
    return _template(LIGHT_PALETTE if name == LIGHT else DARK_PALETTE)


def _scale(colours: tuple[str, ...]) -> list[list[object]]:
    return [[index / (len(colours) - 1), colour] for index, colour in enumerate(colours)]


def _template(palette: Palette) -> go.layout.Template:
    axis = {
        "gridcolor": palette.faint,
        "linecolor": palette.faint,
        "zerolinecolor": palette.reference,
        "zerolinewidth": 1,
        "tickcolor": palette.faint,
        "automargin": True,
        "title": {"standoff": 10},
    }
    layout = {
        "font": {"family": FONT, "size": 13, "color": palette.text},
        "title": {"font": {"size": 16}, "x": 0, "xanchor": "left", "xref": "container", "pad": {"l": 12}},
        # Transparent, so that the page behind the figure shows through.
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "colorway": list(palette.series),
        "colorscale": {
            "sequential": _scale(palette.sequential),
            "sequentialminus": _scale(palette.sequential[::-1]),
            "diverging": _scale(palette.diverging),
        },
        "coloraxis": {
            "autocolorscale": True,
            "colorbar": {"outlinewidth": 0, "thickness": 12, "len": 0.9, "title": {"side": "right"}},
        },
        "xaxis": axis,
        "yaxis": axis,
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "xanchor": "left", "x": 0},
        "margin": {"l": 12, "r": 12, "t": 64, "b": 12},
        "hoverlabel": {"font": {"family": FONT}},
        # Lines drawn by builders take their colour from here, so that they follow the theme.
        "shapedefaults": {"line": {"color": palette.reference, "width": 1.5, "dash": "dash"}},
        "annotationdefaults": {"font": {"color": palette.text}, "showarrow": False},
    }
    return go.layout.Template(layout=layout)


def new_figure(title: str, x_title: str, y_title: str, height: int = 380) -> go.Figure:
    """An empty figure in the light house style, with its title and both axis titles (including units).

    Raises:
        ValueError: if a title is empty: every figure must say what it shows.
    """
    for what, words in (("title", title), ("x_title", x_title), ("y_title", y_title)):
        if not words.strip():
            raise ValueError(f"a figure needs a {what}; say what it shows and in which unit.")
    figure = go.Figure()
    figure.update_layout(
        template=house_template(LIGHT),
        title_text=escape(title),
        xaxis_title_text=escape(x_title),
        yaxis_title_text=escape(y_title),
        height=height,
    )
    return figure
