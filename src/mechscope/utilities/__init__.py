"""The classic `utilities`: what `utils` has, under the name that the 3.x years gave it."""

from mechscope.utils import *  # noqa: F403 - the same names, whatever they are
from mechscope.utils import __all__ as __all__
