"""The scoreboard as a picture that a Markdown page can hold: a dot and its interval for every method and condition."""

from __future__ import annotations

from html import escape

from mechscope.scoreboard.methods import CONTENDERS
from mechscope.scoreboard.playing import Scoreboard
from mechscope.viz.palette import LIGHT_PALETTE

ROW, TOP, LEFT, WIDTH, RIGHT = 30, 58, 300, 420, 24
LOWEST = 0.3
"""Where the axis of AUROC begins; chance is at .5."""


def scoreboard_svg(board: Scoreboard, kind: str = "edges") -> str:
    """AUROC of edges or nodes under every condition, with its interval, as an SVG image."""
    found = {condition: board.summary(kind, condition) for condition in board.conditions()}
    names = [name for name in board.contenders() if name in found[board.conditions()[0]]]
    height = TOP + ROW * len(names) + 44
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + RIGHT} {height}" '
        f'font-family="system-ui, sans-serif" font-size="13" fill="{LIGHT_PALETTE.text}">',
        f'<rect width="100%" height="100%" fill="#ffffff"/><text x="16" y="24" font-size="15">AUROC of {kind} against '
        "planted circuits (bars: 95 % over programs)</text>",
    ]
    for place, condition in enumerate(found):
        x = 16 + 110 * place
        parts.append(f'<circle cx="{x + 5}" cy="42" r="4.5" fill="{_colour(place)}"/>')
        parts.append(f'<text x="{x + 15}" y="46">{escape(condition)}</text>')
    bottom = TOP + ROW * len(names)
    for tick in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0):
        dash = ' stroke-dasharray="4 3"' if tick == 0.5 else ""
        across = f'x1="{_x(tick):.1f}" x2="{_x(tick):.1f}" y1="{TOP}" y2="{bottom}"'
        parts.append(f'<line {across} stroke="{LIGHT_PALETTE.faint}"{dash}/>')
        parts.append(f'<text x="{_x(tick):.1f}" y="{bottom + 18}" text-anchor="middle">{tick:g}</text>')
    parts.append(f'<text x="{_x(0.5):.1f}" y="{bottom + 35}" text-anchor="middle">chance</text>')
    for row, name in enumerate(names):
        middle = TOP + ROW * (row + 0.5)
        words = escape(CONTENDERS[name].words)
        parts.append(f'<text x="{LEFT - 12}" y="{middle + 4:.1f}" text-anchor="end">{words}</text>')
        for place, summary in enumerate(found.values()):
            mean, low, high = summary[name]
            y = middle + 7 * (place - (len(found) - 1) / 2)
            colour = _colour(place)
            parts.append(
                f'<line x1="{_x(low):.1f}" x2="{_x(high):.1f}" y1="{y:.1f}" y2="{y:.1f}" stroke="{colour}" '
                f'stroke-width="2"/><circle cx="{_x(mean):.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>'
            )
    return "\n".join([*parts, "</svg>", ""])


def _x(value: float) -> float:
    return LEFT + WIDTH * (max(value, LOWEST) - LOWEST) / (1 - LOWEST)


def _colour(place: int) -> str:
    return LIGHT_PALETTE.series[place % len(LIGHT_PALETTE.series)]
