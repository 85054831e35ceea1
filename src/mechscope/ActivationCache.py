"""The classic module `ActivationCache`, which has the same name as its class.

`mechscope.ActivationCache` is the class, even after this module was imported.
"""

from mechscope.model.activation_cache import ActivationCache

__all__ = ["ActivationCache"]
