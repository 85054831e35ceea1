"""Finished and unfinished work on disk: one store, one key that says what computed it, and parallel runs.

Names are imported when first used.
"""

from mechscope.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
