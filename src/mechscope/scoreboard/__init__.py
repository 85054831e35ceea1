"""The method scoreboard: every method that finds parts of a circuit, tested on circuits that are known."""

from mechscope.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(
    __name__,
    __file__,
    moved={
        "CONTENDERS": "mechscope.scoreboard:METHODS",
        "Contender": "mechscope.scoreboard:Method",
        "play": "mechscope.scoreboard:run_matches",
    },
)
