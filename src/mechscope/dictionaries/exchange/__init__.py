"""Dictionaries of other tools: read SAELens, dictionary_learning, sparsify and Gemma Scope, write SAELens.

Names are imported when first used.
"""

from mechscope.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
