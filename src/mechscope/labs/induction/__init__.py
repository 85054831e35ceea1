"""Step 03: watch two attention heads find each other and learn to copy from context."""

from mechscope.labs.induction.config import InductionConfig
from mechscope.labs.induction.experiment import LAB
from mechscope.labs.induction.hand_wired import hand_wired_induction
from mechscope.lazy import attach_modules

__getattr__ = attach_modules(__name__, __file__)

__all__ = ["LAB", "InductionConfig", "hand_wired_induction"]
