"""Choose the figure for a result: by its dims, and by `kind` if the dims leave a choice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from mechscope.arguments import checked_arguments
from mechscope.results.dims import DIMS
from mechscope.results.result import Result
from mechscope.results.showing import register_renderer
from mechscope.viz.attention_pattern import attention_pattern
from mechscope.viz.bars import bars
from mechscope.viz.curves import curves
from mechscope.viz.heatmap import heatmap
from mechscope.viz.images import image_grid
from mechscope.viz.panels import heatmap_panels
from mechscope.viz.ranked_bars import ranked_bars
from mechscope.viz.spectrum import spectrum
from mechscope.viz.ticks import distinct
from mechscope.viz.token_grid import token_grid

ORDERED = ("step", "pos", "rank", "layer")
"""Ordered dims, along which a line makes sense."""

UPWARDS = ("layer", "component", "head_out", "source")
"""Dims whose first entry is the bottom row of a figure (see `mechscope.viz`): layers, and parts in forward order."""


@checked_arguments
def render_result(result: Result, **options: Any) -> go.Figure:
    """Build the figure of a result.

    The dims decide: (…, row, col) gives images; (query, key) a pattern; an ordered dim, alone or with one
    other, lines; any other two dims a heat map; any other single dim bars. `result.kind` overrides this: "ranked"
    draws one dim as horizontal bars, "panels" three dims as one heat map per entry of the first, and "tokens" two dims
    as a heat map with a text in each cell (the option `texts`).

    Args:
        options: arguments of the function that draws it (`curves`, `bars`, `ranked_bars`, `heatmap`, `heatmap_panels`,
            `token_grid`, `image_grid`, `spectrum`), such as `markers`, `log_y`, `square` or `x_title`. Titles of axes
            come from the dims and the unit if they are not given.

    Raises:
        ValueError: if no figure fits; says how to select dims that do.
        TypeError: for an option that this kind of figure does not have.
    """
    dims = tuple(str(dim) for dim in result.values.dims)
    kind = result.kind or _kind_of(dims)
    if kind == "images" and dims[-2:] == ("row", "col") and len(dims) in (2, 3):
        return _images(result, dims, options)
    if kind == "pattern" and dims == ("query", "key"):
        tokens = [str(token) for token in result.values.coords["query"].values]
        given: dict[str, Any] = {"title": result.title, "tokens": tokens, **options}
        return attention_pattern(result.values.values, **given)
    if kind == "heatmap" and len(dims) == 2:
        return heatmap(result.values.values, **_of_matrix(result, dims, options))
    if kind == "panels" and len(dims) == 3:
        panels = dict(zip(distinct(_names(result, dims[0])), result.values.values, strict=True))
        return heatmap_panels(panels, **_of_matrix(result, dims[1:], options))
    if kind == "tokens" and len(dims) == 2:
        return token_grid(result.values.values, **_of_matrix(result, dims, options))
    if kind == "ranked" and len(dims) == 1:
        given = {"title": result.title, "x_title": result.unit, "y_title": DIMS[dims[0]], **options}
        return ranked_bars(
            list(map(str, result.values.coords[dims[0]].values)), result.values.values, **given
        )
    if kind in ("curves", "bars", "spectrum") and len(dims) in (1, 2):
        return _series(result, dims, kind, options)
    raise ValueError(
        f"no figure fits {result.title!r} with dims {dims} (kind {result.kind!r}); select along a dimension first, "
        f"such as .values.isel({dims[0] if dims else 'dim'}=0), until one or two are left."
    )


def _kind_of(dims: tuple[str, ...]) -> str:
    if dims[-2:] == ("row", "col"):
        return "images"
    if dims == ("query", "key"):
        return "pattern"
    if len(dims) == 1:
        return "curves" if dims[0] in ORDERED else "bars"
    # Two ordered dims (layer by position) are a map; one ordered dim and a name are lines.
    if len(dims) == 2 and dims[-1] in ("step", "rank"):
        return "curves"
    return "heatmap"


def _images(result: Result, dims: tuple[str, ...], options: Mapping[str, Any]) -> go.Figure:
    stack = result.values.values if len(dims) == 3 else result.values.values[None]
    labels = _names(result, dims[0]) if len(dims) == 3 else [""]
    given: dict[str, Any] = {"title": result.title, "unit": result.unit, **options}
    return image_grid(stack, labels, **given)


def _names(result: Result, dim: str) -> list[str]:
    """A title for each panel or image along a dim."""
    coords = np.asarray(_entries(result, dim))
    # Labels in words say what they are; a number needs the name of its axis.
    in_words = coords.dtype.kind in "OU"
    return [str(label) if in_words else f"{DIMS[dim]} {label}" for label in coords]


def _entries(result: Result, dim: str) -> list[Any]:
    """The labels of the entries along a dim; a key/value head also says which query heads read it."""
    entries = list(result.values.coords[dim].values)
    readers = result.values.coords.get("query_heads")
    if dim == "kv_head" and readers is not None:
        return [f"{head} ({words})" for head, words in zip(entries, readers.values, strict=True)]
    return entries


def _of_matrix(result: Result, dims: tuple[str, ...], options: Mapping[str, Any]) -> dict[str, Any]:
    """Titles, unit and labels of a matrix with these two dims, unless the options say otherwise."""
    return {
        "title": result.title,
        "x_title": DIMS[dims[1]],
        "y_title": DIMS[dims[0]],
        "unit": result.unit,
        "x": _entries(result, dims[1]),
        "y": _entries(result, dims[0]),
        "top_row_first": dims[0] not in UPWARDS,
        **options,
    }


def _series(result: Result, dims: tuple[str, ...], kind: str, options: Mapping[str, Any]) -> go.Figure:
    along = dims[-1]
    coords = result.values.coords[along].values
    rows = np.atleast_2d(result.values.values)
    if len(dims) == 2:
        names = [str(label) for label in result.values.coords[dims[0]].values]
    else:
        # What a single series measures; the title above the figure already says what it is.
        names = [str(options.get("y_title", result.title if result.unit == "1" else result.unit))]
    series = dict(zip(distinct(names), rows, strict=True))
    given: dict[str, Any] = {"title": result.title, **options}
    if kind == "spectrum":
        return spectrum(series, **given)
    given = {"x_title": DIMS[along], "y_title": result.unit, **given}
    return (
        curves(coords, series, **given) if kind == "curves" else bars(list(map(str, coords)), series, **given)
    )


register_renderer(render_result)
