"""The classic module `ActivationCache`, whose name is also that of its class.

`mechscope.ActivationCache` is the class, whichever is imported first.
"""

from mechscope.model.activation_cache import ActivationCache

__all__ = ["ActivationCache"]
