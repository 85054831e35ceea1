"""The classic module `HookedTransformer`, whose name is also that of its class.

`mechscope.HookedTransformer` is the class, whichever is imported first.
"""

from mechscope.model.transformer import HookedTransformer

EasyTransformer = HookedTransformer
"""What the class was called in its first year."""

__all__ = ["EasyTransformer", "HookedTransformer"]
