"""The instrument: a hooked transformer and what it is made of."""

from mechscope.lazy import attach_modules

__getattr__ = attach_modules(__name__, __file__)
