"""The family of small language models: what its members share, how they are trained, what their cards say."""

from mechscope.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
