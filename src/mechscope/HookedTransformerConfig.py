"""The classic module `HookedTransformerConfig`, whose name is also that of its class.

`mechscope.HookedTransformerConfig` is the class, whichever is imported first.
"""

from mechscope.model.config import HookedTransformerConfig

EasyTransformerConfig = HookedTransformerConfig
"""What the class was called in its first year."""

__all__ = ["EasyTransformerConfig", "HookedTransformerConfig"]
