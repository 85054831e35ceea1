"""The classic module `HookedEncoder`, which has the same name as its class.

`mechscope.HookedEncoder` is the class, even after this module was imported.
"""

from mechscope.model.encoder import HookedEncoder

__all__ = ["HookedEncoder"]
