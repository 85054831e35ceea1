"""The effects of a dictionary's features on the model that it is attached to. Names are imported when first used."""

from mechscope.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
