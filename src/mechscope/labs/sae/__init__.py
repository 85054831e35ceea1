"""Step 05: sparse autoencoders, on known features first, then on a language model."""

from mechscope.labs.sae.config import GridConfig, SaeConfig, TextConfig, ToyConfig
from mechscope.labs.sae.experiment import LAB
from mechscope.lazy import attach_modules

__getattr__ = attach_modules(__name__, __file__)

__all__ = ["LAB", "GridConfig", "SaeConfig", "TextConfig", "ToyConfig"]
