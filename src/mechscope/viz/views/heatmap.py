"""A matrix as an interactive heat map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from mechscope.arguments import checked_arguments, shown
from mechscope.results.dims import DIMS
from mechscope.results.result import Result
from mechscope.viz.colour_scale import scale_for
from mechscope.viz.render import UPWARDS
from mechscope.viz.views._inputs import colour_options, names_of, numbers_of, scale_options
from mechscope.viz.views._pictures import matrix_picture
from mechscope.viz.views.view import View


class HeatmapView(View):
    """A heat map whose cells can be selected. Made by `mechscope.viz.heatmap_view`."""

    @property
    def selected_cell(self) -> tuple[int, int] | None:
        """Row and column of the cell that was clicked last, or None."""
        cell = self.selected("selected_cell")
        return None if cell is None else (cell[0], cell[1])

    @selected_cell.setter
    def selected_cell(self, cell: tuple[int, int] | None) -> None:
        self.select("selected_cell", None if cell is None else _check_cell(cell, self.props))


@checked_arguments
def heatmap_view(
    values: Any,
    rows: Sequence[object] | None = None,
    columns: Sequence[object] | None = None,
    *,
    title: str = "",
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    positive_colour: str | None = None,
    negative_colour: str | None = None,
    top_row_first: bool | None = None,
) -> HeatmapView:
    """A matrix as a heat map. The pointer or the arrow keys read its cells; a click or Enter selects one.

    `mechscope.viz.heatmap` draws a Plotly figure instead.

    Args:
        values: a tensor, array or nested lists [row column], or a result with two dims. NaN and infinity stay blank.
        rows: names of the rows; a result's own, or numbers from 0, if omitted.
        columns: names of the columns.
        title: what the map shows; a result's own if omitted.
        unit: of the values; a result's own if omitted.
        minimum: lower end of the colour scale.
        maximum: upper end of the colour scale.
        positive_colour: "#rrggbb" of the largest values.
        negative_colour: "#rrggbb" of the most negative ones.

        top_row_first: False draws the first row at the bottom; None does so for a result whose rows are layers.

    Raises:
        ValueError: if the values are no matrix, or names do not fit.

    >>> heatmap_view([[0.1, -0.4]], ["layer 0"], ["a", "b"], title="effect", unit="nats").selected_cell is None
    True
    """
    upwards = top_row_first is False
    if isinstance(values, Result):
        dims = [str(dim) for dim in values.values.dims]
        if len(dims) != 2:
            raise ValueError(
                f"a heat map needs two dims, and {values.title!r} has {dims}; select along the others first: "
                "result.values.isel(…)."
            )
        upwards = dims[0] in UPWARDS if top_row_first is None else upwards
        title, unit = title or values.title, unit or values.unit
        axes = [values.values.coords[dim].values for dim in dims]
        labels = [
            [str(one) if axis.dtype.kind in "OU" else f"{DIMS[dim]} {one}" for one in axis]
            for dim, axis in zip(dims, axes, strict=True)
        ]
        rows, columns = rows or labels[0], columns or labels[1]
        values = values.values.values
    array = numbers_of(values, "a heat map", blank=True)
    if array.ndim != 2:
        raise ValueError(f"a heat map needs a matrix [row column], not shape {array.shape}.")
    props: dict[str, Any] = {
        "rows": names_of(rows, array.shape[0], "rows"),
        "columns": names_of(columns, array.shape[1], "columns"),
        "label": title or "values",
        "unit": unit,
        "table": True,
        "upwards": upwards,
        **colour_options(minimum, maximum, positive_colour, negative_colour),
    }
    words = f"heat map of {array.shape[0]} × {array.shape[1]} values" + (f": {title}" if title else "")
    return HeatmapView("heatmap", props, {"values": array}, {"selected_cell": None}, _picture, words)


def _check_cell(cell: tuple[int, int], props: Mapping[str, Any]) -> list[int]:
    sizes = (len(props["rows"]), len(props["columns"]))
    if len(cell) != 2 or not all(0 <= index < size for index, size in zip(cell, sizes, strict=True)):
        raise ValueError(
            f"there is no cell {shown(cell)} in a map with {sizes[0]} rows and {sizes[1]} columns."
        )
    return [int(index) for index in cell]


def _picture(props: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    values = arrays["values"]
    scale = scale_for(values, **scale_options(props))
    step = -1 if props["upwards"] else 1
    return matrix_picture(
        values[::step], props["rows"][::step], props["columns"], scale, props["label"], props["unit"]
    )
