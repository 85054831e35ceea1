"""The units: one folder each, with unit.toml, lesson.md, reference.py (the solutions), checks.py and mistakes.py."""

from mechscope.lazy import attach_modules

__getattr__ = attach_modules(__name__, __file__)
