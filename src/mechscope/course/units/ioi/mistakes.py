"""The mistakes that the checks of unit 04 name."""

from __future__ import annotations

from mechscope.course.units.ioi import mistakes_in_judging, mistakes_in_patching, mistakes_in_prompts

MISTAKES = mistakes_in_prompts.MISTAKES | mistakes_in_patching.MISTAKES | mistakes_in_judging.MISTAKES
"""Exercise → its known mistakes."""
