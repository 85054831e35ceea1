"""Test what somebody thinks a unit does: rules, and how well they predict the unit on text that was not looked at."""

from mechscope.lazy import attach_modules

__getattr__ = attach_modules(__name__, __file__)
