"""Results: labelled arrays with a unit and provenance, which can be displayed as figures."""

from mechscope.results.dims import DIMS, check_dims
from mechscope.results.provenance import Provenance, versions
from mechscope.results.result import Result, make_result
from mechscope.results.saving import load_result, save_result
from mechscope.results.showing import register_renderer, render

__all__ = [
    "DIMS",
    "Provenance",
    "Result",
    "check_dims",
    "load_result",
    "make_result",
    "register_renderer",
    "render",
    "save_result",
    "versions",
]
