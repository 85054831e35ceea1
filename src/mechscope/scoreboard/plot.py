"""The scoreboard as an SVG image: a dot with its interval for every method and condition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mechscope.scoreboard.tables import Tables, make_tables
from mechscope.viz.palette import LIGHT_PALETTE
from mechscope.viz.svg import Svg

if TYPE_CHECKING:
    from mechscope.scoreboard.matches import Scoreboard

ROW, TOP, LEFT, WIDTH, RIGHT = 30, 58, 300, 420, 24
LOWEST = 0.3
"""Where the AUROC axis starts; chance is .5."""


def scoreboard_svg(board: Scoreboard | Tables, kind: str = "edges") -> str:
    """AUROC of edges or nodes for every method and condition, with intervals, as SVG text."""
    tables = board if isinstance(board, Tables) else make_tables(board)
    summaries = tables.summaries[kind]
    names = [name for name in tables.methods if name in next(iter(summaries.values()))]
    bottom = TOP + ROW * len(names)
    image = Svg(LEFT + WIDTH + RIGHT, bottom + 44)
    image.text(16, 24, f"AUROC of {kind} against planted circuits (bars: 95 % over programs)", font_size=15)
    for index, condition in enumerate(summaries):
        x = 16 + 110 * index
        image.dot(x + 5, 42, 4.5, _colour(index))
        image.text(x + 15, 46, condition)
    for tick in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0):
        x = _x(tick)
        image.line((x, TOP), (x, bottom), LIGHT_PALETTE.faint, dash="4 3" if tick == 0.5 else "")
        image.text(x, bottom + 18, f"{tick:g}", anchor="middle")
    image.text(_x(0.5), bottom + 35, "chance", anchor="middle")
    for row, name in enumerate(names):
        middle = TOP + ROW * (row + 0.5)
        image.text(LEFT - 12, middle + 4, tables.methods[name], anchor="end")
        for index, summary in enumerate(summaries.values()):
            mean, low, high = summary[name]
            y = middle + 7 * (index - (len(summaries) - 1) / 2)
            image.line((_x(low), y), (_x(high), y), _colour(index), width=2)
            image.dot(_x(mean), y, 3.5, _colour(index))
    return str(image)


def _x(value: float) -> float:
    return LEFT + WIDTH * (max(value, LOWEST) - LOWEST) / (1 - LOWEST)


def _colour(index: int) -> str:
    return LIGHT_PALETTE.series[index % len(LIGHT_PALETTE.series)]
