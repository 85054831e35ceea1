"""Figures as plain data: short, and with nothing that a page could not draw."""

from __future__ import annotations

import base64
import json

import numpy as np
import plotly.graph_objects as go
import pytest

from mechscope.pages.figures import PICTURE, DrawnFigure, PageFigure, draw_figure, figure_html


def drawn(**trace: object) -> dict[str, object]:
    figure = go.Figure(layout={"height": 300, "title": "T"})
    figure.add_trace(go.Heatmap(**trace) if "z" in trace else go.Scatter(**trace))
    return dict(draw_figure(PageFigure("f", figure, "Look.")).plot["data"][0])


def decoded(array: dict) -> np.ndarray:
    values = np.frombuffer(base64.b64decode(array["bdata"]), f"<{array['dtype']}") * array.get("scale", 1)
    return values.reshape([int(size) for size in array["shape"].split(",")]) if "shape" in array else values


def test_coordinates_keep_seven_digits() -> None:
    x = np.linspace(-1, 1, 50) / 3
    found = drawn(x=x, y=x)["x"]
    assert found["dtype"] == "f4"
    np.testing.assert_allclose(decoded(found), x, rtol=1e-7)
    assert drawn(x=[1 / 3, 2], y=[0.1, 0.2])["x"] == [0.333333, 2]


def test_large_whole_numbers_stay_what_they_are() -> None:
    x = np.array([2.0**30 + 1, 3.0])
    np.testing.assert_array_equal(decoded(drawn(x=x, y=x)["x"]), x)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_pictures_take_two_bytes_a_cell(kind: type) -> None:
    z = np.random.default_rng(0).normal(size=(20, 30)).astype(kind)
    assert z.size >= PICTURE
    found = drawn(z=z)["z"]
    assert len(base64.b64decode(found["bdata"])) == 2 * z.size
    np.testing.assert_allclose(decoded(found), z, atol=np.abs(z).max() / 2**15)
    assert decoded(drawn(z=np.zeros((20, 30)))["z"]).tolist() == np.zeros((20, 30)).tolist()


def test_a_picture_with_gaps_keeps_them() -> None:
    z = np.ones((20, 30))
    z[3, 4] = np.nan
    found = decoded(drawn(z=z)["z"])
    assert np.isnan(found[3, 4])
    assert np.isnan(found).sum() == 1


def test_words_are_escaped_and_data_cannot_end_its_element() -> None:
    figure = go.Figure(layout={"height": 300, "title": "a &lt;b&gt; &amp; c"})
    figure.add_scatter(x=[0], y=[0], text=["</script><script>alert(1)</script>"])
    html = figure_html(PageFigure("f", figure, "Look at `<x>`."))
    assert 'aria-label="a &lt;b&gt; &amp; c"' in html
    assert "Look at <code>&lt;x&gt;</code>." in html
    assert html.count("<script") == html.count("</script>") == 1


def test_a_figure_read_from_a_file_is_drawn_as_before() -> None:
    figure = draw_figure(PageFigure("f", go.Figure(layout={"height": 300, "title": "T"}), "Look."))
    again = DrawnFigure(figure.name, figure.title, figure.caption, json.loads(json.dumps(figure.plot)))
    assert figure_html(again) == figure_html(figure)
    with pytest.raises(ValueError, match="a number that JSON cannot hold"):
        DrawnFigure("f", "T", "Look.", {"data": [], "layout": {"height": 300, "x": float("nan")}})
