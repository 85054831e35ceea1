"""Dictionaries: sparse autoencoders and transcoders, trained, evaluated, stored and spliced into models.

Names are imported when they are first used.
"""

from mechscope.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(
    __name__,
    __file__,
    moved={
        "FeatureEdges": "mechscope.feature_effects",
        "FeatureEffects": "mechscope.feature_effects",
        "FeatureLogits": "mechscope.feature_effects",
        "ablate_features": "mechscope.feature_effects",
        "attribute_edges": "mechscope.feature_effects",
        "attribute_features": "mechscope.feature_effects",
        "direct_feature_attribution": "mechscope.feature_effects",
        "patch_features": "mechscope.feature_effects",
    },
)
