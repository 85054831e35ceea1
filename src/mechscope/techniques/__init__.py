"""Techniques: from a model and a task to a result. Names are imported when first used.

Modules with a leading underscore are shared by several techniques.
"""

from mechscope.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__, moved={"scoreboard": "mechscope.scoreboard"})
