"""The programs that come with the compiler, one short function each."""

from mechscope.planted.library.registry import PROGRAMS, STEADY_NOISE, load

__all__ = ["PROGRAMS", "STEADY_NOISE", "load"]
