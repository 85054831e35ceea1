"""Step 01: more features than dimensions, and the geometry of how they share the room."""

from mechscope.labs.superposition.config import SuperpositionConfig
from mechscope.labs.superposition.experiment import LAB

__all__ = ["LAB", "SuperpositionConfig"]
