"""mechscope: look inside neural networks.

    import mechscope as ms

    model = ms.load_model("induction-2l")
    task = ms.tasks.repeated_random_tokens(model)
    ms.patch(model, task, "head").show()

Names here are looked up when they are first used, so that importing the package is nearly free and
torch is loaded only by what needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mechscope.lazy import lazy_names

if TYPE_CHECKING:
    from mechscope import (
        components,
        dictionaries,
        evals,
        feature_effects,
        head_detector,
        hook_points,
        loading_from_pretrained,
        past_key_value_caching,
        patching,
        planted,
        scoreboard,
        tasks,
        techniques,
        tools,
        train,
        utilities,
        utils,
        weight_processing,
    )
    from mechscope import loading_from_pretrained as loading
    from mechscope.checkpoints.load import load_model
    from mechscope.data.tokenizer import Tokenizer
    from mechscope.labs.superposition.collection import load_toy_models
    from mechscope.model.activation_cache import ActivationCache
    from mechscope.model.config import HookedTransformerConfig
    from mechscope.model.config import HookedTransformerConfig as EasyTransformerConfig
    from mechscope.model.encoder import HookedEncoder
    from mechscope.model.factored_matrix import FactoredMatrix
    from mechscope.model.hook_points import HookPoint
    from mechscope.model.hooked_root_module import HookedRootModule
    from mechscope.model.key_value_cache import (
        HookedTransformerKeyValueCache,
        HookedTransformerKeyValueCacheEntry,
    )
    from mechscope.model.key_value_cache import HookedTransformerKeyValueCache as TransformerLensKeyValueCache
    from mechscope.model.key_value_cache import (
        HookedTransformerKeyValueCacheEntry as TransformerLensKeyValueCacheEntry,
    )
    from mechscope.model.next_sentence import BertNextSentencePrediction
    from mechscope.model.slice import Slice
    from mechscope.model.token_batch import Tokens
    from mechscope.model.transformer import HookedTransformer
    from mechscope.model.transformer import HookedTransformer as EasyTransformer
    from mechscope.SVDInterpreter import SVDInterpreter
    from mechscope.techniques.activation_patching import patch
    from mechscope.techniques.circuits.discover import discover

__version__ = "0.1.0"

# Where each public name lives.
_HOMES = {
    "ActivationCache": "mechscope.model.activation_cache",
    "BertNextSentencePrediction": "mechscope.model.next_sentence",
    "FactoredMatrix": "mechscope.model.factored_matrix",
    "EasyTransformer": "mechscope.HookedTransformer",
    "EasyTransformerConfig": "mechscope.HookedTransformerConfig",
    "HookPoint": "mechscope.model.hook_points",
    "HookedEncoder": "mechscope.model.encoder",
    "HookedRootModule": "mechscope.model.hooked_root_module",
    "HookedTransformer": "mechscope.model.transformer",
    "HookedTransformerConfig": "mechscope.model.config",
    "HookedTransformerKeyValueCache": "mechscope.model.key_value_cache",
    "HookedTransformerKeyValueCacheEntry": "mechscope.model.key_value_cache",
    "SVDInterpreter": "mechscope.SVDInterpreter",
    "Slice": "mechscope.model.slice",
    "loading": "mechscope.loading_from_pretrained",
    "Tokens": "mechscope.model.token_batch",
    "Tokenizer": "mechscope.data.tokenizer",
    "TransformerLensKeyValueCache": "mechscope.past_key_value_caching",
    "TransformerLensKeyValueCacheEntry": "mechscope.past_key_value_caching",
    "discover": "mechscope.techniques.circuits.discover",
    "load_model": "mechscope.checkpoints.load",
    "load_toy_models": "mechscope.labs.superposition.collection",
    "patch": "mechscope.techniques.activation_patching",
}
_MODULES = (
    "components",
    "dictionaries",
    "evals",
    "feature_effects",
    "head_detector",
    "hook_points",
    "loading_from_pretrained",
    "past_key_value_caching",
    "patching",
    "planted",
    "scoreboard",
    "tasks",
    "techniques",
    "tools",
    "train",
    "utilities",
    "utils",
    "weight_processing",
)

__all__ = [
    "ActivationCache",
    "BertNextSentencePrediction",
    "EasyTransformer",
    "EasyTransformerConfig",
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
    "Tokens",
    "TransformerLensKeyValueCache",
    "TransformerLensKeyValueCacheEntry",
    "__version__",
    "components",
    "dictionaries",
    "discover",
    "evals",
    "feature_effects",
    "head_detector",
    "hook_points",
    "load_model",
    "load_toy_models",
    "loading",
    "loading_from_pretrained",
    "past_key_value_caching",
    "patch",
    "patching",
    "planted",
    "scoreboard",
    "tasks",
    "techniques",
    "tools",
    "train",
    "utilities",
    "utils",
    "weight_processing",
]


__getattr__, __dir__ = lazy_names(__name__, _HOMES, _MODULES)
