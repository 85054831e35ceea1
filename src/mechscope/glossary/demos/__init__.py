"""The demos of entries: functions without arguments that return a figure, in modules named after the sections."""

from mechscope.lazy import attach_modules

__getattr__ = attach_modules(__name__, __file__)
