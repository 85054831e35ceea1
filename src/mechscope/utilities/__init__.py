"""The classic package `utilities`: the contents of `utils`, under the name of release 3.x."""

from mechscope.lazy import attach_modules
from mechscope.utils import *  # noqa: F403 - exactly the same names
from mechscope.utils import __all__ as __all__

__getattr__ = attach_modules(__name__, __file__)
