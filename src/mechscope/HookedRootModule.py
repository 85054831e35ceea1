"""The classic module `HookedRootModule`, which has the same name as its class.

`mechscope.HookedRootModule` is the class, even after this module was imported.
"""

from mechscope.model.hooked_root_module import HookedRootModule

__all__ = ["HookedRootModule"]
