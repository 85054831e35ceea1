"""Step 02: watch a network memorise, then grok, and read the algorithm out of its weights."""

from mechscope.labs.grokking.config import ModelConfig
from mechscope.labs.grokking.experiment import LAB, GrokkingConfig
from mechscope.labs.grokking.hand_wired import hand_wired_addition

__all__ = ["LAB", "GrokkingConfig", "ModelConfig", "hand_wired_addition"]
