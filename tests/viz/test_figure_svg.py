"""Figures as SVG: what a reader sees stands where the numbers put it."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from mechscope.viz import bars, curves, heatmap
from mechscope.viz.figure_svg import TOP, figure_svg
from mechscope.viz.palette import LIGHT_PALETTE

SPACE = "{http://www.w3.org/2000/svg}"


def drawn(figure: object) -> ElementTree.Element:
    return ElementTree.fromstring(figure_svg(figure))  # type: ignore[arg-type]


def texts(image: ElementTree.Element) -> list[str | None]:
    return [text.text for text in image.iter(f"{SPACE}text")]


def test_a_heat_map_has_a_cell_for_each_number_in_the_colour_of_its_value() -> None:
    values = np.array([[-1.0, 0.0, 0.5], [0.25, 1.0, np.nan]])
    titles = {"title": "T & t", "x_title": "head", "y_title": "layer", "unit": "share"}
    image = drawn(heatmap(values, **titles, x=["a", "b", "c"], y=["first", "<second>"]))
    cells = [one for one in image.iter(f"{SPACE}rect") if one.get("width") not in ("100%", "12")]
    assert len(cells) == 6
    colours = [cell.get("fill") for cell in cells]
    assert colours[0] == LIGHT_PALETTE.diverging[0].lower()  # the lowest
    assert colours[4] == LIGHT_PALETTE.diverging[-1].lower()  # the highest
    assert colours[1] == LIGHT_PALETTE.diverging[3].lower()  # zero
    assert colours[5] == LIGHT_PALETTE.faint  # not a number
    assert [float(cell.get("y") or 0) for cell in cells[:3]] == [TOP] * 3
    assert {"T & t", "head", "layer", "share", "<second>", "b", ".50", "−1.00"} <= set(texts(image))


def test_long_labels_are_written_upwards_and_have_room() -> None:
    names = [f"a method with a long name, number {number}" for number in range(12)]
    titles = {"title": "t", "x_title": "x", "y_title": "y", "unit": "1"}
    image = drawn(heatmap(np.eye(12), **titles, x=names, y=names))
    width, height = (float(part) for part in (image.get("viewBox") or "").split()[2:])
    upwards = [text for text in image.iter(f"{SPACE}text") if text.get("transform") and text.text in names]
    assert len(upwards) == 12
    for cell in image.iter(f"{SPACE}rect"):
        if cell.get("width") != "100%":
            assert 0 <= float(cell.get("x") or 0) <= width and 0 <= float(cell.get("y") or 0) <= height


@pytest.mark.parametrize("log_x", [False, True])
def test_lines_go_through_their_points(log_x: bool) -> None:
    figure = curves(
        [1, 10, 100],
        {"up": [0.0, 1.0, 2.0], "level": [1.0, 1.0, 1.0]},
        title="t",
        x_title="x",
        y_title="y",
        log_x=log_x,
    )
    image = drawn(figure)
    lines = [line.get("points") or "" for line in image.iter(f"{SPACE}polyline")]
    assert len(lines) == 2
    (x0, y0), (x1, y1), (x2, y2) = ([float(part) for part in point.split(",")] for point in lines[0].split())
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.2)
    share = (x1 - x0) / (x2 - x0)
    assert share == pytest.approx(0.5 if log_x else 9 / 99, abs=0.01)
    assert {point.split(",")[1] for point in lines[1].split()} == {str(y1)}
    assert {"up", "level"} <= set(texts(image))


def test_a_logarithmic_axis_upwards() -> None:
    titles = {"title": "t", "x_title": "x", "y_title": "y"}
    image = drawn(curves([1, 2, 3, 4], {"s": [1.0, 10.0, 0.0, 100.0]}, **titles, log_y=True))
    (line,) = image.iter(f"{SPACE}polyline")
    heights = [float(point.split(",")[1]) for point in (line.get("points") or "").split()]
    assert len(heights) == 3, "zero has no logarithm"
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=0.2)
    assert {"1", "10", "100"} <= set(texts(image))


@pytest.mark.parametrize("mode", ["markers", "markers+text"])
def test_dots_are_not_joined(mode: str) -> None:
    figure = curves([1, 2, 3], {"s": [1.0, 3.0, 2.0]}, title="t", x_title="x", y_title="y")
    figure.update_traces(mode=mode)
    image = drawn(figure)
    assert len(list(image.iter(f"{SPACE}circle"))) == 3
    assert list(image.iter(f"{SPACE}polyline")) == []


def test_panels_are_refused_in_words() -> None:
    figure = curves([1, 2], {"s": [1.0, 3.0]}, title="t", x_title="x", y_title="y")
    figure.add_scatter(x=[1, 2], y=[2, 1], xaxis="x2", yaxis="y2")
    with pytest.raises(ValueError, match="this figure has panels"):
        figure_svg(figure)


def test_another_figure_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="a figure of bar"):
        figure_svg(bars(["a"], {"s": [1.0]}, title="t", x_title="x", y_title="y"))


def test_layers_run_upwards_as_in_the_figure_itself() -> None:
    titles = {"title": "t", "x_title": "head", "y_title": "layer", "unit": "1"}
    heights: dict[bool, dict[str, float]] = {}
    for top_row_first in (True, False):
        image = drawn(heatmap([[0.0], [1.0]], **titles, y=["first", "second"], top_row_first=top_row_first))
        labels = [text for text in image.iter(f"{SPACE}text") if text.text in ("first", "second")]
        heights[top_row_first] = {str(text.text): float(text.get("y") or 0) for text in labels}
        full = next(
            one for one in image.iter(f"{SPACE}rect") if one.get("fill") == LIGHT_PALETTE.sequential[-1]
        )
        assert abs(float(full.get("y") or 0) - heights[top_row_first]["second"]) < 30
    assert heights[True]["first"] < heights[True]["second"]
    assert heights[False]["first"] > heights[False]["second"]
