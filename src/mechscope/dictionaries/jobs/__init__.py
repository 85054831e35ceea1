"""Training jobs: a description that can be printed, saved and loaded, and its results in a folder."""

from mechscope.lazy import attach_modules

__getattr__ = attach_modules(__name__, __file__)
