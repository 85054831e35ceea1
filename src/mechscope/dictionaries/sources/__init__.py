"""Sources of activations for training and evaluation: a model's hook point over text, or known features."""

from mechscope.lazy import attach_modules

__getattr__ = attach_modules(__name__, __file__)
