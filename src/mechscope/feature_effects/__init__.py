"""The effects of a dictionary's features on the model that it is attached to. Names are imported when first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mechscope.lazy import lazy_names

if TYPE_CHECKING:
    from mechscope.feature_effects.attribution import attribute_features
    from mechscope.feature_effects.direct_logits import FeatureLogits, direct_feature_attribution
    from mechscope.feature_effects.edges import FeatureEdges, attribute_edges
    from mechscope.feature_effects.feature_effects import FeatureEffects
    from mechscope.feature_effects.patching import ablate_features, patch_features

_HERE = "mechscope.feature_effects"
_HOMES = {
    "FeatureEdges": f"{_HERE}.edges",
    "FeatureEffects": f"{_HERE}.feature_effects",
    "FeatureLogits": f"{_HERE}.direct_logits",
    "ablate_features": f"{_HERE}.patching",
    "attribute_edges": f"{_HERE}.edges",
    "attribute_features": f"{_HERE}.attribution",
    "direct_feature_attribution": f"{_HERE}.direct_logits",
    "patch_features": f"{_HERE}.patching",
}

__all__ = [
    "FeatureEdges",
    "FeatureEffects",
    "FeatureLogits",
    "ablate_features",
    "attribute_edges",
    "attribute_features",
    "direct_feature_attribution",
    "patch_features",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
