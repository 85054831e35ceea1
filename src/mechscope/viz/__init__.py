"""Figures: one house style, one builder a kind of picture, and the renderer that `result.show()` asks for."""

from mechscope.viz.attention import attention_pattern
from mechscope.viz.bars import bars
from mechscope.viz.curves import Marker, curves
from mechscope.viz.heatmap import heatmap
from mechscope.viz.images import image_grid
from mechscope.viz.render import render_result
from mechscope.viz.spectrum import spectrum
from mechscope.viz.template import DARK, LIGHT, house_template

__all__ = [
    "DARK",
    "LIGHT",
    "Marker",
    "attention_pattern",
    "bars",
    "curves",
    "heatmap",
    "house_template",
    "image_grid",
    "render_result",
    "spectrum",
]
