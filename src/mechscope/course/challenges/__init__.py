"""Small models with a secret, and the grading of what a learner says about them."""

from mechscope.lazy import attach_modules

__getattr__ = attach_modules(__name__, __file__)
