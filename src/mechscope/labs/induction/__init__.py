"""Step 03: watch two attention heads find each other and learn to copy from context."""

from mechscope.labs.induction.config import InductionConfig
from mechscope.labs.induction.experiment import LAB
from mechscope.labs.induction.hand_wired import hand_wired_induction

__all__ = ["LAB", "InductionConfig", "hand_wired_induction"]
