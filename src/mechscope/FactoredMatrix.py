"""The classic module `FactoredMatrix`, which has the same name as its class.

`mechscope.FactoredMatrix` is the class, even after this module was imported.
"""

from mechscope.model.factored_matrix import FactoredMatrix

__all__ = ["FactoredMatrix"]
