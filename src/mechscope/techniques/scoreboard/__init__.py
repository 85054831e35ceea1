"""The method scoreboard: every method that finds parts of a circuit, against circuits that are known."""

from mechscope.techniques.scoreboard.contenders import CONTENDERS, Contender, Scored
from mechscope.techniques.scoreboard.page import scoreboard_page
from mechscope.techniques.scoreboard.playing import CONDITIONS, Condition, Match, Scoreboard, play, scoreboard
from mechscope.techniques.scoreboard.plot import scoreboard_svg

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
