"""The classic module `FactoredMatrix`, whose name is also that of its class.

`mechscope.FactoredMatrix` is the class, whichever is imported first.
"""

from mechscope.model.factored_matrix import FactoredMatrix

__all__ = ["FactoredMatrix"]
