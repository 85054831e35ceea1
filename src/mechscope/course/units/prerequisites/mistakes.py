"""The mistakes that the checks of unit P name."""

from __future__ import annotations

from mechscope.course.units.prerequisites import mistakes_in_drills, mistakes_in_maths, mistakes_in_training

MISTAKES = mistakes_in_maths.MISTAKES | mistakes_in_drills.MISTAKES | mistakes_in_training.MISTAKES
"""Exercise → its known mistakes."""
