"""The classic `hook_points`."""

from mechscope.model.hook_points import HookFunction, HookPoint, NamesFilter
from mechscope.model.hooked_root_module import HookedRootModule

__all__ = ["HookFunction", "HookPoint", "HookedRootModule", "NamesFilter"]
