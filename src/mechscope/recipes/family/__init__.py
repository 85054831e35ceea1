"""The family of small language models: what its members share, how they are trained, what their cards say."""

from mechscope.lazy import lazy_names

__getattr__, __dir__ = lazy_names(__name__, {"RECIPES": "mechscope.recipes.family.recipes"})
