"""How Plotly figures enter a notebook: as their data, with a drawing for programs that cannot run Plotly.

Plotly's own choice for Jupyter puts a copy of its 4.5 MB script into the first output of every notebook. JupyterLab,
Jupyter Notebook 7 and VS Code bring the script themselves and need only the data.
"""

from __future__ import annotations

import base64
import html
import importlib.util
import sys
from contextlib import suppress
from typing import Any, cast

import numpy as np
import plotly.graph_objects as go
import plotly.io
from plotly.io.base_renderers import PlotlyRenderer

from mechscope.viz.escaping import unescape
from mechscope.viz.figure_svg import figure_svg

NAME = "mechscope"
"""The renderer's name among Plotly's."""
BACKGROUND = "#ffffff"
"""The house style is transparent, and its dark text could not be read in a notebook with a dark theme."""
LONGEST_IMAGE = 60_000
"""Characters of the image in a notebook: one of a large heat map would outweigh the figure's data many times."""


class NotebookRenderer(PlotlyRenderer):
    """Gives a notebook a figure's data, and an SVG image where the figure can be drawn as one."""

    def to_mimebundle(self, fig_dict: dict[str, Any]) -> dict[str, Any]:
        """The representations of a figure, by media type; programs show the richest that they know."""
        layout = {**fig_dict["layout"], "paper_bgcolor": BACKGROUND, "plot_bgcolor": BACKGROUND}
        bundle: dict[str, Any] = super().to_mimebundle({**fig_dict, "layout": layout})
        titled: Any = go.Layout(layout).title
        title = unescape(titled.text or "A figure")
        return {**bundle, "text/html": static_html(fig_dict, title), "text/plain": title}


def static_html(fig_dict: dict[str, Any], title: str) -> str:
    """A figure for programs without Plotly, such as a previewer of notebooks: an image, or where to look instead."""
    image = ""
    # Any figure of the reader's may come here, and a drawing that fails must not keep the figure from being shown.
    with suppress(Exception):
        image = figure_svg(go.Figure(_with_arrays(fig_dict)))
    if image and len(image) <= LONGEST_IMAGE:
        return image
    return f"<p><b>{html.escape(title)}</b>: this figure needs Plotly. Open the notebook in JupyterLab or VS Code.</p>"


def _with_arrays(value: Any) -> Any:
    """The same content with arrays where Plotly has packed them into text."""
    if isinstance(value, list | tuple):
        return [_with_arrays(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    packed = cast("dict[str, Any]", value)
    if "bdata" not in packed:
        return {key: _with_arrays(entry) for key, entry in packed.items()}
    array = np.frombuffer(base64.b64decode(packed["bdata"]), dtype=packed["dtype"])
    return array.reshape([int(size) for size in str(packed.get("shape", array.size)).split(",")])


def use_in_notebooks() -> None:
    """Make Plotly figures that are shown in this notebook small and readable without a network.

    In Colab, which shows nothing but Plotly's own HTML, this changes nothing.

    Raises:
        ImportError: if nbformat or IPython, with which Plotly puts figures into a notebook, is missing.
    """
    missing = [name for name in ("IPython", "nbformat") if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"figures in a notebook need {' and '.join(missing)}: pip install 'mechscope[notebook]'."
        )
    if "google.colab" in sys.modules:
        return
    plotly.io.renderers[NAME] = NotebookRenderer()
    plotly.io.renderers.default = NAME
