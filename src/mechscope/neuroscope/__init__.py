"""What makes each unit of a model fire: harvest text, browse the units, and test what you think they do."""

from mechscope.lazy import attach_modules

__getattr__ = attach_modules(__name__, __file__)
