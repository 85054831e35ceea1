"""The classic module `HookedTransformer`, whose name is also that of its class.

`mechscope.HookedTransformer` is the class, whichever is imported first.
"""

from mechscope.model.transformer import HookedTransformer

__all__ = ["HookedTransformer"]
