"""Results: labelled arrays with a unit and provenance, which can be displayed as figures.

Names are imported when first used: xarray takes a while to load, and loading a model needs none of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mechscope.lazy import lazy_names

if TYPE_CHECKING:
    from mechscope.results.dims import DIMS, check_dims
    from mechscope.results.provenance import Provenance, versions
    from mechscope.results.result import Result, make_result
    from mechscope.results.saving import load_result, save_result
    from mechscope.results.showing import register_renderer, render

_HOMES = {
    "DIMS": "dims",
    "Provenance": "provenance",
    "Result": "result",
    "check_dims": "dims",
    "load_result": "saving",
    "make_result": "result",
    "register_renderer": "showing",
    "render": "showing",
    "save_result": "saving",
    "versions": "provenance",
}

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

__getattr__, __dir__ = lazy_names(__name__, {name: f"{__name__}.{home}" for name, home in _HOMES.items()})
