"""Exchange dictionaries with other tools: read SAELens, dictionary_learning, sparsify and Gemma Scope; write SAELens.

Names are imported when they are first used.
"""

from mechscope.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
