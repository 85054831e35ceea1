"""The classic module `hook_points`."""

import torch

from mechscope.model._hooking import Hooking as HookIntrospectionMixin
from mechscope.model.hook_points import HookFunction, HookPoint, NamesFilter
from mechscope.model.hook_points import Listener as LensHandle
from mechscope.model.hooked_root_module import HookedRootModule

DeviceType = torch.device | str | None

__all__ = [
    "DeviceType",
    "HookFunction",
    "HookIntrospectionMixin",
    "HookPoint",
    "HookedRootModule",
    "LensHandle",
    "NamesFilter",
]
