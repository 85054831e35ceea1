"""Files and folders on this machine: atomic writing, locks, and the places of data and caches."""

from mechscope.lazy import attach_modules

__getattr__ = attach_modules(__name__, __file__)
