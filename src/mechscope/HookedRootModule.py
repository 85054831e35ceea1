"""The classic module `HookedRootModule`, whose name is also that of its class.

`mechscope.HookedRootModule` is the class, whichever is imported first.
"""

from mechscope.model.hooked_root_module import HookedRootModule

__all__ = ["HookedRootModule"]
