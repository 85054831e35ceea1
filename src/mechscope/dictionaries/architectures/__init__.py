"""The architectures, one per file. Import names from those files."""

from mechscope.lazy import attach_modules

__getattr__ = attach_modules(__name__, __file__)
