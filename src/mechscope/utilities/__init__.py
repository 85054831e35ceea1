"""The classic `utilities`: the contents of `utils` under their 3.x name."""

from mechscope.utils import *  # noqa: F403 - the same names, whatever they are
from mechscope.utils import __all__ as __all__
