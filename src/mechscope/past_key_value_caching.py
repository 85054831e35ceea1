"""The classic `past_key_value_caching`."""

from mechscope.model.key_value_cache import (
    HookedTransformerKeyValueCache,
    HookedTransformerKeyValueCacheEntry,
)

__all__ = ["HookedTransformerKeyValueCache", "HookedTransformerKeyValueCacheEntry"]
