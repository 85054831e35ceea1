"""The text that a harvest reads: named texts, files, folders, JSON Lines and Hugging Face data sets, as a stream."""

from mechscope.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
