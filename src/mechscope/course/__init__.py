"""The course: units of exercises, checks that diagnose mistakes, and the learner's progress."""

from mechscope.lazy import attach_modules

__getattr__ = attach_modules(__name__, __file__)
