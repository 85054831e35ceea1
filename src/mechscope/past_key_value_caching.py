"""The classic module `past_key_value_caching`, with the names of releases 2.x and 3.x."""

from mechscope.model.key_value_cache import (
    HookedTransformerKeyValueCache,
    HookedTransformerKeyValueCacheEntry,
)

TransformerLensKeyValueCache = HookedTransformerKeyValueCache
TransformerLensKeyValueCacheEntry = HookedTransformerKeyValueCacheEntry

__all__ = [
    "HookedTransformerKeyValueCache",
    "HookedTransformerKeyValueCacheEntry",
    "TransformerLensKeyValueCache",
    "TransformerLensKeyValueCacheEntry",
]
