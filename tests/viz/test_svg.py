"""The SVG helper: well-formed images, whatever the text."""

from __future__ import annotations

from xml.etree import ElementTree

from mechscope.viz.svg import Svg

SPACE = "{http://www.w3.org/2000/svg}"


def test_text_is_escaped_and_read_back() -> None:
    image = Svg(100, 50)
    words = 'a < b & "c" </text><script>alert(1)</script>'
    image.text(3, 4, words)
    root = ElementTree.fromstring(str(image))
    assert [element.text for element in root.iter(f"{SPACE}text")] == [words]
    assert list(root.iter(f"{SPACE}script")) == []


def test_attributes_are_escaped() -> None:
    image = Svg(100, 50)
    image.dot(1, 2, 3, '"><script/>')
    root = ElementTree.fromstring(str(image))
    assert root.find(f"{SPACE}circle").get("fill") == '"><script/>'  # type: ignore[union-attr]
    assert root.find(f".//{SPACE}script") is None


def test_shapes_stand_where_they_are_put() -> None:
    image = Svg(720, 430.5, font_size=12)
    image.line((1, 2.26), (30, 4), "#123456", 2, "4 3")
    image.polyline([(0, 1), (2.04, 3)], "#abcdef")
    image.text(20, 200, "up", anchor="middle", font_size=15, upwards=True)
    root = ElementTree.fromstring(str(image))
    assert root.get("viewBox") == "0 0 720 430.5"
    line, polyline, text = (root.find(f"{SPACE}{name}") for name in ("line", "polyline", "text"))
    assert line is not None and polyline is not None and text is not None
    assert {key: line.get(key) for key in ("x1", "y1", "x2", "y2")} == {
        "x1": "1",
        "y1": "2.3",
        "x2": "30",
        "y2": "4",
    }
    assert (line.get("stroke-width"), line.get("stroke-dasharray")) == ("2", "4 3")
    assert (polyline.get("points"), polyline.get("fill")) == ("0,1 2.0,3", "none")
    assert polyline.get("stroke-dasharray") is None
    assert (text.get("transform"), text.get("text-anchor")) == ("rotate(-90 20 200)", "middle")
