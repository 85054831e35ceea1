"""Networks to study that are not transformers: digit classifiers and a grid-world agent, with the usual hooks."""

from mechscope.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
