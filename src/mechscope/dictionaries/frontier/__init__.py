"""Frontiers: architectures trained at several sparsities on the same activations, and what each L0 costs them."""

from mechscope.lazy import attach_modules

__getattr__ = attach_modules(__name__, __file__)
