"""The classic module `HookedTransformerConfig`, which has the same name as its class.

`mechscope.HookedTransformerConfig` is the class, even after this module was imported.
"""

from mechscope.model.config import HookedTransformerConfig

EasyTransformerConfig = HookedTransformerConfig
"""The first name of the class."""

__all__ = ["EasyTransformerConfig", "HookedTransformerConfig"]
