"""Techniques: from a model and a task to a result. Names are imported when first used."""

from mechscope.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__, moved={"scoreboard": "mechscope.scoreboard"})
