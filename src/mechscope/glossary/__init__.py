"""The glossary: one entry per term with the idea, the trap and links, and for many a demo that draws a figure."""

from mechscope.lazy import attach_modules

__getattr__ = attach_modules(__name__, __file__)
