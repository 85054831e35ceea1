"""mechscope: look inside neural networks.

    import mechscope as ms

    model = ms.load_model("induction-2l")
    logits, cache = model.run_with_cache(tokens)
    cache["pattern", 1]

Names here are looked up when they are first used, so that importing the package is nearly free and
torch is loaded only by what needs it.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mechscope import (
        components,
        evals,
        head_detector,
        hook_points,
        past_key_value_caching,
        patching,
        utils,
    )
    from mechscope.checkpoints.load import load_model
    from mechscope.data.tokenizer import Tokenizer
    from mechscope.model.activation_cache import ActivationCache
    from mechscope.model.config import HookedTransformerConfig
    from mechscope.model.encoder import HookedEncoder
    from mechscope.model.factored_matrix import FactoredMatrix
    from mechscope.model.hook_points import HookPoint
    from mechscope.model.hooked_root_module import HookedRootModule
    from mechscope.model.key_value_cache import (
        HookedTransformerKeyValueCache,
        HookedTransformerKeyValueCacheEntry,
    )
    from mechscope.model.slice import Slice
    from mechscope.model.transformer import HookedTransformer
    from mechscope.SVDInterpreter import SVDInterpreter

__version__ = "0.1.0"

# Where each public name lives.
_HOMES = {
    "ActivationCache": "mechscope.model.activation_cache",
    "FactoredMatrix": "mechscope.model.factored_matrix",
    "HookPoint": "mechscope.model.hook_points",
    "HookedEncoder": "mechscope.model.encoder",
    "HookedRootModule": "mechscope.model.hooked_root_module",
    "HookedTransformer": "mechscope.model.transformer",
    "HookedTransformerConfig": "mechscope.model.config",
    "HookedTransformerKeyValueCache": "mechscope.model.key_value_cache",
    "HookedTransformerKeyValueCacheEntry": "mechscope.model.key_value_cache",
    "SVDInterpreter": "mechscope.SVDInterpreter",
    "Slice": "mechscope.model.slice",
    "Tokenizer": "mechscope.data.tokenizer",
    "load_model": "mechscope.checkpoints.load",
}
_MODULES = (
    "components",
    "evals",
    "head_detector",
    "hook_points",
    "past_key_value_caching",
    "patching",
    "utils",
)

__all__ = [
    "ActivationCache",
    "FactoredMatrix",
    "HookPoint",
    "HookedEncoder",
    "HookedRootModule",
    "HookedTransformer",
    "HookedTransformerConfig",
    "HookedTransformerKeyValueCache",
    "HookedTransformerKeyValueCacheEntry",
    "SVDInterpreter",
    "Slice",
    "Tokenizer",
    "__version__",
    "components",
    "evals",
    "head_detector",
    "hook_points",
    "load_model",
    "past_key_value_caching",
    "patching",
    "utils",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(f"mechscope.{name}")
    else:
        raise AttributeError(f"module 'mechscope' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """Keeps `mechscope.FactoredMatrix` the class when someone imports the module of that name.

    Old notebooks write `from x import FactoredMatrix` and `from x.FactoredMatrix import
    FactoredMatrix`; importing a submodule would bind its name here and hide the class.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _HOMES and isinstance(value, ModuleType):
            return
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
