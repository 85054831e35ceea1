"""Step 04: find a circuit by cutting paths, and judge it by cutting it out."""

from mechscope.labs.ioi.anatomy import Anatomy, NoCircuitError, dissect
from mechscope.labs.ioi.config import IOIConfig
from mechscope.labs.ioi.experiment import LAB
from mechscope.labs.ioi.patched_heads import PatchedHeads, find_heads
from mechscope.labs.ioi.published import published_measures
from mechscope.labs.ioi.smollm2 import ioi_heads
from mechscope.labs.ioi.stories import Stories
from mechscope.lazy import attach_modules

__getattr__ = attach_modules(__name__, __file__)

__all__ = [
    "LAB",
    "Anatomy",
    "IOIConfig",
    "NoCircuitError",
    "PatchedHeads",
    "Stories",
    "dissect",
    "find_heads",
    "ioi_heads",
    "published_measures",
]
