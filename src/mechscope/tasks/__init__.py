"""Tasks: prompts, answers and a metric in one object that every technique takes. Names are imported on first use."""

from mechscope.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
