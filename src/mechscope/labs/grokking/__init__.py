"""Step 02: watch a network memorise, then grok, and read the algorithm out of its weights."""

from mechscope.labs.grokking.config import ModelConfig
from mechscope.labs.grokking.experiment import LAB, GrokkingConfig
from mechscope.labs.grokking.hand_wired import hand_wired_addition
from mechscope.lazy import attach_modules

__getattr__ = attach_modules(__name__, __file__)

__all__ = ["LAB", "GrokkingConfig", "ModelConfig", "hand_wired_addition"]
