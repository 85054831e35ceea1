"""Step 00: a digit classifier so small that its weights can simply be looked at."""

from mechscope.labs.mnist_templates.experiment import LAB, TemplatesConfig
from mechscope.lazy import attach_modules

__getattr__ = attach_modules(__name__, __file__)

__all__ = ["LAB", "TemplatesConfig"]
