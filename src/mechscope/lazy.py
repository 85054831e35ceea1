"""Public names that are looked up when first used, so that importing a package is nearly free."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from mechscope.near_names import did_you_mean_clause


def lazy_names(
    package: str,
    homes: Mapping[str, str],
    modules: Sequence[str] = (),
    moved: Mapping[str, str] | None = None,
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The `__getattr__` and `__dir__` of a package whose names live in its submodules.

    A submodule that is called like a name in it (`logit_lens.logit_lens`) does not hide that name when it
    is imported, which Python would otherwise let it do.

    Args:
        package: its full name.
        homes: name → the full name of the module that has it.
        modules: submodules that are public themselves.
        moved: name → the package that it has moved to; "package:new_name" if it was renamed as well. For one
            version it is still found here, with a DeprecationWarning.
    """
    moved = moved or {}

    class LazyPackage(ModuleType):
        def __setattr__(self, name: str, value: Any) -> None:
            if name in homes and isinstance(value, ModuleType):
                return
            super().__setattr__(name, value)

    module = sys.modules[package]
    module.__class__ = LazyPackage

    def look_up(name: str) -> Any:
        if name in homes:
            value = getattr(importlib.import_module(homes[name]), name)
        elif name in modules:
            value = importlib.import_module(f"{package}.{name}")
        elif name in moved:
            home, _, new_name = moved[name].partition(":")
            new_name = new_name or name
            warnings.warn(
                f"{package}.{name} has moved: use {home}.{new_name}. The old name will go in the next version.",
                DeprecationWarning,
                stacklevel=2,
            )
            return getattr(importlib.import_module(home), new_name)
        else:
            hint = did_you_mean_clause(name, [*homes, *modules], n=3)
            raise AttributeError(f"module {package!r} has no attribute {name!r}{'; ' if hint else ''}{hint}")
        vars(module)[name] = value
        return value

    def names() -> list[str]:
        return sorted({*vars(module), *homes, *modules})

    return look_up, names
