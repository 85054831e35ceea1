"""The method scoreboard: every method that finds parts of a circuit, against circuits that are known."""

from mechscope.scoreboard.methods import CONTENDERS, Contender, Scored
from mechscope.scoreboard.page import scoreboard_page
from mechscope.scoreboard.playing import CONDITIONS, Condition, Match, Scoreboard, play, scoreboard
from mechscope.scoreboard.plot import scoreboard_svg

__all__ = [
    "CONDITIONS",
    "CONTENDERS",
    "Condition",
    "Contender",
    "Match",
    "Scoreboard",
    "Scored",
    "play",
    "scoreboard",
    "scoreboard_page",
    "scoreboard_svg",
]
