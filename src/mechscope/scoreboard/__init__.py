"""The method scoreboard: every method that finds parts of a circuit, tested on circuits that are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mechscope.lazy import lazy_names

if TYPE_CHECKING:
    from mechscope.scoreboard.matches import (
        CONDITIONS,
        Condition,
        Match,
        Scoreboard,
        run_matches,
        scoreboard,
    )
    from mechscope.scoreboard.methods import METHODS, Method, Scored
    from mechscope.scoreboard.page import scoreboard_page
    from mechscope.scoreboard.plot import scoreboard_svg

_HERE = "mechscope.scoreboard"
_HOMES = {
    "CONDITIONS": f"{_HERE}.matches",
    "METHODS": f"{_HERE}.methods",
    "Condition": f"{_HERE}.matches",
    "Match": f"{_HERE}.matches",
    "Method": f"{_HERE}.methods",
    "Scoreboard": f"{_HERE}.matches",
    "Scored": f"{_HERE}.methods",
    "run_matches": f"{_HERE}.matches",
    "scoreboard": f"{_HERE}.matches",
    "scoreboard_page": f"{_HERE}.page",
    "scoreboard_svg": f"{_HERE}.plot",
}
_RENAMED = {
    "CONTENDERS": f"{_HERE}:METHODS",
    "Contender": f"{_HERE}:Method",
    "play": f"{_HERE}:run_matches",
}

__all__ = [
    "CONDITIONS",
    "METHODS",
    "Condition",
    "Match",
    "Method",
    "Scoreboard",
    "Scored",
    "run_matches",
    "scoreboard",
    "scoreboard_page",
    "scoreboard_svg",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES, moved=_RENAMED)
