"""Evaluate a dictionary: one metric per file, and `evaluate` for all of them. Names are imported on first use."""

from mechscope.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
