"""The mistakes that the checks of unit A name."""

from mechscope.course.units.algorithmic import mistakes_in_changing, mistakes_in_saying

MISTAKES = {**mistakes_in_saying.MISTAKES, **mistakes_in_changing.MISTAKES}
"""Exercise → its known mistakes."""
