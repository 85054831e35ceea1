"""How each bundled model was made, and the command that makes it again."""

from mechscope.lazy import attach_modules

__getattr__ = attach_modules(__name__, __file__)
