"""The web lab: the pages of all rooms, served on this machine or written as a static site."""

from mechscope.lazy import attach_modules

__getattr__ = attach_modules(__name__, __file__)
