"""SVG images that a Markdown page can show, in the house style."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from xml.etree import ElementTree

from mechscope.viz.palette import LIGHT_PALETTE

Anchor = Literal["start", "middle", "end"]


class Svg:
    """An SVG image on a white ground; text is escaped.

    Coordinates are pixels from the top left corner; fractions are rounded to a tenth.

    >>> image = Svg(40, 20)
    >>> image.text(5, 12, "a < b")
    >>> "a &lt; b" in str(image)
    True
    """

    def __init__(self, width: float, height: float, font_size: int = 13) -> None:
        self._root = ElementTree.Element(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "viewBox": f"0 0 {width:g} {height:g}",
                "font-family": "system-ui, sans-serif",
                "font-size": str(font_size),
                "fill": LIGHT_PALETTE.text,
            },
        )
        self._add("rect", width="100%", height="100%", fill="#ffffff")

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        anchor: Anchor = "start",
        font_size: int | None = None,
        upwards: bool = False,
        colour: str = "",
    ) -> None:
        """Write text whose baseline starts, is centred or ends at a point.

        Args:
            x: from the left.
            y: from the top.
            text: what to write.
            anchor: which part of the text lies at the point.
            font_size: None for that of the image.
            upwards: turn the text by 90° so that it reads upwards.
            colour: empty for that of the image.
        """
        place = {"x": _number(x), "y": _number(y)}
        if anchor != "start":
            place["text-anchor"] = anchor
        if font_size is not None:
            place["font-size"] = str(font_size)
        if upwards:
            place["transform"] = f"rotate(-90 {_number(x)} {_number(y)})"
        if colour:
            place["fill"] = colour
        self._add("text", text, **place)

    def line(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        colour: str,
        width: float = 1,
        dash: str = "",
    ) -> None:
        """Draw a line; `dash` is SVG's list of dash lengths, such as "4 3"."""
        (x1, y1), (x2, y2) = start, end
        ends = {"x1": _number(x1), "y1": _number(y1), "x2": _number(x2), "y2": _number(y2)}
        self._add("line", **ends, **_stroke(colour, width, dash))

    def polyline(
        self, points: Sequence[tuple[float, float]], colour: str, width: float = 1, dash: str = ""
    ) -> None:
        """Join points by lines."""
        path = " ".join(f"{_number(x)},{_number(y)}" for x, y in points)
        self._add("polyline", points=path, fill="none", **_stroke(colour, width, dash))

    def dot(self, x: float, y: float, radius: float, colour: str) -> None:
        """Draw a filled circle."""
        self._add("circle", cx=_number(x), cy=_number(y), r=f"{radius:g}", fill=colour)

    def rectangle(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        """Draw a filled rectangle whose top left corner is at (x, y)."""
        size = {"width": _number(width), "height": _number(height)}
        self._add("rect", x=_number(x), y=_number(y), **size, fill=colour)

    def polygon(self, points: Sequence[tuple[float, float]], colour: str, opacity: float = 1) -> None:
        """Draw a filled polygon."""
        path = " ".join(f"{_number(x)},{_number(y)}" for x, y in points)
        self._add("polygon", points=path, fill=colour, **{"fill-opacity": f"{opacity:g}"})

    def __str__(self) -> str:
        ElementTree.indent(self._root, space="")
        return ElementTree.tostring(self._root, encoding="unicode") + "\n"

    def _add(self, name: str, content: str | None = None, **attributes: str) -> None:
        ElementTree.SubElement(self._root, name, attributes).text = content


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.1f}"


def _stroke(colour: str, width: float, dash: str) -> dict[str, str]:
    stroke = {"stroke": colour, "stroke-width": f"{width:g}"}
    return stroke | {"stroke-dasharray": dash} if dash else stroke
