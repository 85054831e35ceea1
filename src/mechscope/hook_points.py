"""The classic `hook_points`."""

import torch

from mechscope.model.hook_introspection import HookIntrospectionMixin
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
