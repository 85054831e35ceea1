"""The mistakes that the checks of unit T name."""

from __future__ import annotations

from mechscope.course.units.transformer import mistakes_in_layers, mistakes_in_models, mistakes_in_use

MISTAKES = mistakes_in_layers.MISTAKES | mistakes_in_models.MISTAKES | mistakes_in_use.MISTAKES
"""Exercise → its known mistakes."""
