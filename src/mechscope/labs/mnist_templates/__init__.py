"""Step 00: a digit classifier so small that its weights can simply be looked at."""

from mechscope.labs.mnist_templates.experiment import LAB, TemplatesConfig

__all__ = ["LAB", "TemplatesConfig"]
