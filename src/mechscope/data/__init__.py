"""Model inputs: text, digits and synthetic sequences, and where they are on disk."""

from mechscope.lazy import attach_modules

__getattr__ = attach_modules(__name__, __file__)
