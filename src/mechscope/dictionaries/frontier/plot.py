"""Draw a frontier as an SVG image for Markdown pages."""

from __future__ import annotations

import math

from mechscope.dictionaries.frontier.figures import WORDS, Measure
from mechscope.dictionaries.frontier.points import Sweep
from mechscope.viz.palette import LIGHT_PALETTE
from mechscope.viz.svg import Svg
from mechscope.viz.ticks import ticks

WIDTH, HEIGHT = 720, 430
LEFT, RIGHT, TOP, BOTTOM = 74, 130, 52, 52
DASHES = ("", "7 4", "2 3", "8 3 2 3", "11 4", "11 3 2 3")


def frontier_svg(sweep: Sweep, measure: Measure) -> str:
    """An SVG image of L0 against a measure."""
    points = [(point, measure.value(point)) for point in sweep.points]
    drawn = [(point, value) for point, value in points if value is not None]
    log = measure.log and all(value > 0 for _, value in drawn)
    across = _Axis([point.l0 for point, _ in drawn], True, LEFT, WIDTH - RIGHT)
    up = _Axis([value for _, value in drawn], log, HEIGHT - BOTTOM, TOP)
    image = Svg(WIDTH, HEIGHT, font_size=12)
    image.text(16, 26, sweep.config.title, font_size=15)
    for tick in across.ticks():
        x = across.at(tick)
        image.line((x, TOP), (x, HEIGHT - BOTTOM), LIGHT_PALETTE.faint)
        image.text(x, HEIGHT - BOTTOM + 17, f"{tick:g}", anchor="middle")
    for tick in up.ticks():
        y = up.at(tick)
        image.line((LEFT, y), (WIDTH - RIGHT, y), LIGHT_PALETTE.faint)
        image.text(LEFT - 7, y + 4, f"{tick:g}", anchor="end")
    image.text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, "active features per example (L0)", anchor="middle")
    image.text(20, (TOP + HEIGHT - BOTTOM) / 2, measure.axis, anchor="middle", upwards=True)
    for index, architecture in enumerate(sweep.architectures):
        colour, dash = LIGHT_PALETTE.series[index % len(LIGHT_PALETTE.series)], DASHES[index % len(DASHES)]
        for seed in sweep.config.seeds:
            line = [
                (across.at(point.l0), up.at(value))
                for point in sweep.of(architecture, seed)
                if (value := measure.value(point)) is not None
            ]
            image.polyline(line, colour, 1.8, dash)
            for x, y in line:
                image.dot(x, y, 3, colour)
        x, y = WIDTH - RIGHT + 12, TOP + 12 + 20 * index
        image.line((x, y), (x + 26, y), colour, 2, dash)
        image.text(x + 32, y + 4, WORDS.get(architecture, architecture))
    return str(image)


class _Axis:
    """Maps numbers to coordinates of the image."""

    def __init__(self, values: list[float], log: bool, begin: float, end: float) -> None:
        self.log, self.begin, self.end = log, begin, end
        low, high = (self._inside(value) for value in (min(values), max(values)))
        room = 0.04 * (high - low) or 0.5
        self.low, self.high = low - room, high + room

    def _inside(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def at(self, value: float) -> float:
        """Position of a number."""
        share = (self._inside(value) - self.low) / (self.high - self.low)
        return self.begin + share * (self.end - self.begin)

    def ticks(self) -> list[float]:
        """Round numbers within the axis."""
        low, high = (10**end if self.log else end for end in (self.low, self.high))
        return ticks(low, high, log=self.log)
