"""Open problems: questions for a weekend or for longer, each with a script that measures the number to beat."""

from mechscope.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
