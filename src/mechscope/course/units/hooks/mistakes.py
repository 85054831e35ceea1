"""The mistakes that the checks of unit H name."""

from __future__ import annotations

from mechscope.course.units.hooks import mistakes_in_changing, mistakes_in_watching

MISTAKES = mistakes_in_watching.MISTAKES | mistakes_in_changing.MISTAKES
"""Exercise → its known mistakes."""
