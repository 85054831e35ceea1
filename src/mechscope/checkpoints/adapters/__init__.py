"""One declarative adapter per family of Hugging Face checkpoints."""

from mechscope.checkpoints.adapters.families import FAMILIES, family_of
from mechscope.checkpoints.adapters.family import Family, Refusal
from mechscope.checkpoints.adapters.hf_config import HfConfig
from mechscope.lazy import attach_modules

__getattr__ = attach_modules(__name__, __file__)

__all__ = ["FAMILIES", "Family", "HfConfig", "Refusal", "family_of"]
