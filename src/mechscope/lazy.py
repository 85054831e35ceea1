"""Public names that are imported on first use, so that importing a package is nearly free.

A package lists its public names in a stub next to its `__init__.py`, one line per name. Type checkers read the same
file:

    # __init__.pyi
    from .load import load_model as load_model
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import lazy_loader

from mechscope.near_names import did_you_mean_clause


def attach_stub(
    package: str, file: str, moved: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """The `__getattr__`, `__dir__` and `__all__` of a package whose stub lists its public names.

    A function with the name of its module (`logit_lens.logit_lens`) stays visible when that module is imported. Every
    other module of the package is imported when it is first used as an attribute.

    Args:
        package: its `__name__`.
        file: its `__file__`; the stub is the same path with the ending `.pyi`.
        moved: name → the package that it has moved to, or package:name if it was renamed as well. For one version it
            is still found here, with a DeprecationWarning.

    Raises:
        ValueError: if there is no stub, or it imports from outside the package.
    """
    import_name, _, public = lazy_loader.attach_stub(package, file)
    look_up_moved = moved_names(package, moved or {}, public)

    def look_up(name: str) -> Any:
        if name in public:
            return import_name(name)
        return _module(package, name) if name in module_names(file) else look_up_moved(name)

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *public, *module_names(file)})

    return look_up, names, public


def attach_modules(package: str, file: str) -> Callable[[str], Any]:
    """The `__getattr__` of a package without a stub: its modules are imported when first used as attributes.

    Args:
        package: its `__name__`.
        file: its `__file__`.
    """

    def look_up(name: str) -> Any:
        modules = module_names(file)
        return _module(package, name) if name in modules else moved_names(package, {}, modules)(name)

    return look_up


@functools.cache
def module_names(file: str) -> tuple[str, ...]:
    """The public modules and packages beside an `__init__.py`; names with a leading underscore are private."""
    found = (module.name for module in pkgutil.iter_modules([str(Path(file).parent)]))
    return tuple(name for name in found if not name.startswith("_"))


def _module(package: str, name: str) -> ModuleType:
    return importlib.import_module(f"{package}.{name}")


def moved_names(module: str, moved: Mapping[str, str], public: Sequence[str] = ()) -> Callable[[str], Any]:
    """The `__getattr__` of a module some of whose names have moved; they give a DeprecationWarning for one version.

    Args:
        module: its `__name__`.
        moved: name → the module that it has moved to, or module:name if it was renamed as well.
        public: other names, to suggest for misspelt ones.
    """

    def look_up(name: str) -> Any:
        if name not in moved:
            hint = did_you_mean_clause(name, public, n=3)
            raise AttributeError(f"module {module!r} has no attribute {name!r}{'; ' if hint else ''}{hint}")
        home, _, renamed = moved[name].partition(":")
        new = renamed or name
        # The caller is this function's caller, or one further up through `attach_stub`.
        warnings.warn(
            f"{module}.{name} has moved: use {home}.{new}. The old name will go in the next version.",
            DeprecationWarning,
            stacklevel=2 + bool(public),
        )
        return getattr(importlib.import_module(home), new)

    return look_up
