"""Draw a frontier as an SVG image for Markdown pages."""

from __future__ import annotations

import math
from html import escape

from mechscope.dictionaries.frontier.figures import WORDS, Measure
from mechscope.dictionaries.frontier.points import Sweep
from mechscope.viz.palette import LIGHT_PALETTE
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
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="{LIGHT_PALETTE.text}">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="16" y="26" font-size="15">{escape(sweep.config.title)}</text>',
    ]
    for tick in across.ticks():
        x = across.at(tick)
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="{LIGHT_PALETTE.faint}"/>'
            f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">{tick:g}</text>'
        )
    for tick in up.ticks():
        y = up.at(tick)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{LIGHT_PALETTE.faint}"/>'
            f'<text x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>'
        )
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 14}" text-anchor="middle">active features per example '
        f'(L0)</text><text x="20" y="{middle}" text-anchor="middle" transform="rotate(-90 20 {middle})">'
        f"{escape(measure.axis)}</text>"
    )
    for index, architecture in enumerate(sweep.architectures):
        colour, dash = LIGHT_PALETTE.series[index % len(LIGHT_PALETTE.series)], DASHES[index % len(DASHES)]
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        for seed in sweep.config.seeds:
            line = [
                (across.at(point.l0), up.at(value))
                for point in sweep.of(architecture, seed)
                if (value := measure.value(point)) is not None
            ]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in line)
            parts.append(
                f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"{dashed}/>'
            )
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in line]
        y = TOP + 12 + 20 * index
        x = WIDTH - RIGHT + 12
        parts.append(
            f'<line x1="{x}" x2="{x + 26}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="2"{dashed}/>'
            f'<text x="{x + 32}" y="{y + 4}">{escape(WORDS.get(architecture, architecture))}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


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
        """The coordinate of a number."""
        share = (self._inside(value) - self.low) / (self.high - self.low)
        return self.begin + share * (self.end - self.begin)

    def ticks(self) -> list[float]:
        """Round numbers within the axis."""
        low, high = (10**end if self.log else end for end in (self.low, self.high))
        return ticks(low, high, log=self.log)
