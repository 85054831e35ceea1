"""The mistakes that the checks of unit R name."""

from __future__ import annotations

from mechscope.course.units.research import mistakes_in_attacks, mistakes_in_predictions, mistakes_in_writing

MISTAKES = mistakes_in_predictions.MISTAKES | mistakes_in_attacks.MISTAKES | mistakes_in_writing.MISTAKES
"""Exercise → its known mistakes."""
