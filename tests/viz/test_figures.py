"""Every figure says what it shows, in the house style, and refuses data that does not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from mechscope.results import Provenance, make_result
from mechscope.viz import (
    DARK,
    LIGHT,
    Marker,
    attention_pattern,
    bars,
    curves,
    heatmap,
    house_template,
    image_grid,
    render_result,
    spectrum,
)
from mechscope.viz.curves import add_level
from mechscope.viz.palette import DARK_PALETTE, LIGHT_PALETTE
from mechscope.viz.template import new_figure

TITLES = {"title": "T", "x_title": "x (steps)", "y_title": "y (nats)"}
MADE_BY = Provenance("toy", "task")


def all_figures() -> dict[str, go.Figure]:
    pattern = np.tril(np.ones((4, 4)))
    return {
        "curves": curves([1, 2, 3], {"a": [1, 2, 3], "b": [3, 2, 1]}, **TITLES, markers=[Marker(2, "here")]),
        "bars": bars(["p", "q"], {"a": [1, 2], "b": [0.5, 0.1]}, **TITLES),
        "heatmap": heatmap([[1, -2], [3, 4]], **TITLES, unit="nats"),
        "images": image_grid(np.arange(24).reshape(2, 3, 4), ["a", "b"], title="T", unit="nats"),
        "spectrum": spectrum({"a": [3, 1 + 1j, 0.1]}, title="T"),
        "attention": attention_pattern(
            pattern / pattern.sum(-1, keepdims=True), title="T", tokens=list("abcd")
        ),
    }


@pytest.mark.parametrize("name", all_figures())
def test_titles_axes_and_template(name: str) -> None:
    figure = all_figures()[name]
    assert figure.layout.title.text == "T"
    assert figure.layout.xaxis.title.text
    assert figure.layout.yaxis.title.text
    assert figure.layout.template == house_template(LIGHT)
    assert figure.layout.height > 0


@pytest.mark.parametrize("name", ["heatmap", "images", "attention"])
def test_colours_follow_the_theme_and_name_their_unit(name: str) -> None:
    figure = all_figures()[name]
    assert figure.layout.coloraxis.autocolorscale is True
    assert figure.layout.coloraxis.colorbar.title.text
    assert figure.data[0].colorscale is None


def test_themes_differ_only_in_colours() -> None:
    light, dark = house_template(LIGHT).layout, house_template(DARK).layout
    assert light.colorway != dark.colorway
    assert len(light.colorway) == len(dark.colorway)
    assert light.font.family == dark.font.family
    with pytest.raises(ValueError, match="no template 'pink'"):
        house_template("pink")


@pytest.mark.parametrize(("palette", "page"), [(LIGHT_PALETTE, "#ffffff"), (DARK_PALETTE, "#171c24")])
def test_lines_and_words_stand_out_from_the_page(palette, page: str) -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(a: str, b: str) -> float:
        high, low = sorted((luminance(a), luminance(b)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    assert contrast(palette.text, page) >= 7
    assert contrast(palette.reference, page) >= 4.5
    for colour in palette.series:
        assert contrast(colour, page) >= 2.3


def test_zero_is_the_neutral_colour_where_signs_are_mixed() -> None:
    mixed = heatmap([[-1.0, 4.0]], **TITLES, unit="u").layout.coloraxis
    assert (mixed.cmin, mixed.cmax) == (-4, 4)
    positive = heatmap([[1.0, 4.0]], **TITLES, unit="u").layout.coloraxis
    assert (positive.cmin, positive.cmax) == (0, 4)


def test_a_mosaic_shows_every_image_and_none_covers_another() -> None:
    images = np.arange(1, 61, dtype=float).reshape(5, 3, 4)
    figure = image_grid(images, list("abcde"), title="T", unit="u", columns=2)
    covered = set()
    for trace, image in zip(figure.data, images, strict=True):
        assert np.array_equal(trace.z, image)
        cells = {(trace.y0 + row, trace.x0 + column) for row in range(3) for column in range(4)}
        assert not cells & covered
        covered |= cells
    (left, right), (bottom, top) = figure.layout.xaxis.range, figure.layout.yaxis.range
    assert all(top < row < bottom and left < column < right for row, column in covered)


def test_images_with_their_own_scale_peak_at_one() -> None:
    images = np.stack([np.full((2, 2), 3.0), np.zeros((2, 2)), np.array([[-8.0, 1], [0, 0]])])
    figure = image_grid(images, list("abc"), title="T", unit="u", each_its_own_scale=True)
    assert [float(np.abs(trace.z).max()) for trace in figure.data] == [1, 0, 1]
    assert "÷ its largest" in figure.layout.coloraxis.colorbar.title.text


def test_markers_on_logarithmic_axes_stand_where_they_say() -> None:
    markers = [Marker(100, "event"), Marker(0.01, "level", axis="y")]
    series = {"a": [1, 0.1, 0.001]}
    layout: Any = curves([1, 10, 1000], series, **TITLES, markers=markers, log_x=True, log_y=True).layout
    # Plotly places shapes by value but annotations by exponent.
    assert [layout.shapes[0].x0, layout.shapes[1].y0] == [100, 0.01]
    assert [layout.annotations[0].x, layout.annotations[1].y] == pytest.approx([2, -2])
    with pytest.raises(ValueError, match="'zero' is at 0, which is not on a logarithmic axis"):
        curves([1, 10], {"a": [1, 2]}, **TITLES, markers=[Marker(0, "zero", axis="y")], log_y=True)


def test_markers_stand_where_they_say() -> None:
    figure = curves(
        [0, 1], {"a": [0, 1]}, **TITLES, markers=[Marker(0.5, "now"), Marker(0.2, "level", axis="y")]
    )
    vertical, horizontal = figure.layout.shapes
    assert (vertical.x0, vertical.x1, vertical.yref) == (0.5, 0.5, "paper")
    assert (horizontal.y0, horizontal.y1, horizontal.xref) == (0.2, 0.2, "paper")
    assert [note.text for note in figure.layout.annotations] == ["now", "level"]


@pytest.mark.parametrize("series", [{"a": [1, 2]}, {"a": [1, 2], "b": [0.5, 0.1]}])
def test_a_level_across_bars_is_named_in_the_legend_and_not_on_a_bar(series: dict[str, list[float]]) -> None:
    figure = bars(["p", "q"], series, **TITLES, markers=[Marker(0.5, "guessing", axis="y")])
    (level,) = figure.layout.shapes
    assert (level.y0, level.y1, level.name, level.showlegend) == (0.5, 0.5, "guessing", True)
    assert not figure.layout.annotations
    assert figure.layout.showlegend
    # One series is named by the title.
    assert all(trace.showlegend == (len(series) > 1) for trace in figure.data)
    with pytest.raises(ValueError, match="axis 'y', not 'x'"):
        add_level(figure, Marker(0, "an event"))


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: curves([1, 2], {"a": [1]}, **TITLES), r"series 'a' .* shape \(1,\)"),
        (lambda: curves([1], {}, **TITLES), "no series"),
        (lambda: bars(["a"], {"s": [1, 2]}, **TITLES), "there are 1 names"),
        (lambda: heatmap([1, 2], **TITLES, unit="u"), "needs a matrix"),
        (lambda: heatmap([[1, 2]], **TITLES, unit="u", x=["a"]), "do not fit"),
        (lambda: image_grid(np.zeros((2, 3)), [], title="T", unit="u"), "needs images"),
        (lambda: image_grid(np.zeros((2, 3, 3)), ["a"], title="T", unit="u"), "1 labels for 2 images"),
        (lambda: spectrum({"a": [0.0, 0.0]}, title="T"), "not all zero"),
        (lambda: attention_pattern([[1.0, 0.0], [0.5, 0.6]], title="T"), "row 1 of the pattern sums to 1.1"),
        (lambda: new_figure("T", " ", "y"), "needs a x_title"),
        (lambda: curves([1], {"a": [1]}, **TITLES, markers=[Marker(1, "m", axis="z")]), "axis 'x' or 'y'"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw()


@pytest.mark.parametrize(
    ("shape", "dims", "kind", "trace"),
    [
        ((2, 3), ("layer", "head"), "", "heatmap"),
        ((2, 3), ("layer", "pos"), "", "heatmap"),
        ((4,), ("step",), "", "scatter"),
        ((2, 4), ("model", "step"), "", "scatter"),
        ((4,), ("head",), "", "bar"),
        ((2, 4), ("series", "rank"), "spectrum", "scatter"),
        ((3, 2, 2), ("class", "row", "col"), "", "heatmap"),
        ((2, 3), ("layer", "head"), "bars", "bar"),
        ((4,), ("label",), "ranked", "bar"),
        ((2, 3, 4), ("series", "layer", "head"), "panels", "heatmap"),
    ],
)
def test_dims_decide_the_picture(shape: tuple, dims: tuple, kind: str, trace: str) -> None:
    values = 1 + np.arange(np.prod(shape), dtype=float).reshape(shape)
    figure = render_result(make_result(values, dims, "T", "nats", MADE_BY, kind=kind))
    assert figure.data[0].type == trace
    assert figure.layout.title.text == "T"


def test_panels_keep_their_names_and_labels() -> None:
    values = np.arange(12.0).reshape(2, 2, 3)
    coords = {"series": ["keys", "keys"], "layer": ["first", "second"], "head": ["a", "b", "c"]}
    result = make_result(
        values, ("series", "layer", "head"), "T", "nats", MADE_BY, coords=coords, kind="panels"
    )
    figure = render_result(result, x_title="reads")
    titles = [note.text for note in figure.layout.annotations]
    assert titles[:2] == ["keys", "keys (2)"]  # neither hides the other
    assert titles[2:] == ["reads", "layer"]
    assert np.array_equal([panel.z for panel in figure.data], values)
    assert figure.layout.xaxis.ticktext == ("a", "b", "c")
    assert figure.layout.yaxis.ticktext == ("first", "second")


def test_a_text_in_each_cell() -> None:
    result = make_result(np.eye(2), ("label", "pos"), "T", "share", MADE_BY, kind="tokens")
    figure = render_result(result, texts=[["a", "b"], ["c", "d"]])
    assert [list(row) for row in figure.data[0].text] == [["a", "b"], ["c", "d"]]
    with pytest.raises(TypeError, match="texts"):
        render_result(result)


def test_ranked_bars_run_sideways_in_the_given_order() -> None:
    result = make_result([3.0, 1.0], ("label",), "T", "%", MADE_BY, {"label": ["x", "y"]}, kind="ranked")
    bar = render_result(result).data[0]
    assert (bar.orientation, list(bar.x), list(bar.customdata)) == ("h", [3.0, 1.0], ["x", "y"])


def test_a_pattern_is_drawn_as_one() -> None:
    values = np.tril(np.ones((3, 3))) / np.arange(1, 4)[:, None]
    figure = render_result(make_result(values, ("query", "key"), "T", "probability", MADE_BY))
    assert figure.layout.xaxis.title.text == "key position (attended to)"


def test_too_many_dims_say_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"isel\(layer=0\)"):
        render_result(make_result(np.zeros((2, 2, 2)), ("layer", "head", "pos"), "T", "nats", MADE_BY))


def test_a_pattern_of_a_padded_prompt() -> None:
    pattern = np.array([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.25, 0.75]])  # the first query is padding
    assert attention_pattern(pattern, title="t").data[0].z.shape == (3, 3)
    for wrong in (np.zeros((3, 3)), pattern.T, 2 * pattern):
        with pytest.raises(ValueError, match=r"sums to (0|1.25|2), not 1: is it scores, or transposed"):
            attention_pattern(wrong, title="t")
