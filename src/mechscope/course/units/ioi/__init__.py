"""Unit 04: the circuit for indirect object identification."""

from mechscope.lazy import attach_modules

__getattr__ = attach_modules(__name__, __file__)
