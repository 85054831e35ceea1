"""Figures and interactive views.

Figures: one house style, one builder per kind of figure, and the renderer behind `result.show()`. Views: `attention`,
`tokens`, `top_tokens`, `heatmap_view`, `logprobs`, `circuit` and `microscope` are the components of the web lab in a
notebook.

Layers run upwards in every figure that has them as rows: heat maps, panels, the logit lens and circuit graphs. Text
goes in at the bottom and predictions come out on top, as in drawings of a transformer. Rows that are not layers
(queries of a pattern, classes, ranked names) run downwards, as in a table.
"""

from mechscope.lazy import attach_modules
from mechscope.viz.attention_pattern import attention_pattern
from mechscope.viz.bars import bars
from mechscope.viz.circuit_graph import circuit_graph
from mechscope.viz.curves import Marker, curves
from mechscope.viz.escaping import escape
from mechscope.viz.heatmap import heatmap
from mechscope.viz.images import image_grid
from mechscope.viz.notebook_renderer import use_in_notebooks
from mechscope.viz.panels import heatmap_panels
from mechscope.viz.ranked_bars import ranked_bars
from mechscope.viz.render import render_result
from mechscope.viz.spectrum import spectrum
from mechscope.viz.template import DARK, LIGHT, house_template
from mechscope.viz.token_grid import token_grid
from mechscope.viz.views.attention import attention
from mechscope.viz.views.circuit import circuit
from mechscope.viz.views.heatmap import heatmap_view
from mechscope.viz.views.logprobs import logprobs
from mechscope.viz.views.microscope import microscope
from mechscope.viz.views.tokens import tokens
from mechscope.viz.views.top_tokens import top_tokens
from mechscope.viz.views.view import View

__getattr__ = attach_modules(__name__, __file__)

__all__ = [
    "DARK",
    "LIGHT",
    "Marker",
    "View",
    "attention",
    "attention_pattern",
    "bars",
    "circuit",
    "circuit_graph",
    "curves",
    "escape",
    "heatmap",
    "heatmap_panels",
    "heatmap_view",
    "house_template",
    "image_grid",
    "logprobs",
    "microscope",
    "ranked_bars",
    "render_result",
    "spectrum",
    "token_grid",
    "tokens",
    "top_tokens",
    "use_in_notebooks",
]
