"""The programs that come with the compiler, one short function each."""

from mechscope.lazy import attach_modules
from mechscope.planted.library.registry import PROGRAMS, STEADY_NOISE, load

__getattr__ = attach_modules(__name__, __file__)

__all__ = ["PROGRAMS", "STEADY_NOISE", "load"]
