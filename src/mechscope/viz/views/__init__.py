"""Interactive views: the components of the web lab as widgets of notebooks and as pages of their own."""

from mechscope.lazy import attach_modules

__getattr__ = attach_modules(__name__, __file__)
