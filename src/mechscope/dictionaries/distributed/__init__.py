"""One dictionary over several processes, each of which (a rank) holds a share of the features."""

from mechscope.lazy import attach_modules

__getattr__ = attach_modules(__name__, __file__)
