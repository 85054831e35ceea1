"""Experiments that the web lab runs for the reader: in processes of their own, one at a time, recorded on disk."""

from mechscope.lazy import attach_modules

__getattr__ = attach_modules(__name__, __file__)
