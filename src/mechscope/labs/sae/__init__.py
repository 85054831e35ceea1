"""Step 05: sparse autoencoders, on known features first, then on a language model."""

from mechscope.labs.sae.config import GridConfig, SaeConfig, TextConfig, ToyConfig
from mechscope.labs.sae.experiment import LAB

__all__ = ["LAB", "GridConfig", "SaeConfig", "TextConfig", "ToyConfig"]
