"""Who computes a harvest: this process, several processes, or a Ray cluster. All give the same bytes."""

from mechscope.lazy import attach_modules

__getattr__ = attach_modules(__name__, __file__)
