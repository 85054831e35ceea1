"""The classic module `HookedEncoder`, whose name is also that of its class.

`mechscope.HookedEncoder` is the class, whichever is imported first.
"""

from mechscope.model.encoder import HookedEncoder

__all__ = ["HookedEncoder"]
