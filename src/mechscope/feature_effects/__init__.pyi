from .attribution import attribute_features as attribute_features
from .direct_logits import FeatureLogits as FeatureLogits
from .direct_logits import direct_feature_attribution as direct_feature_attribution
from .edges import FeatureEdges as FeatureEdges
from .edges import attribute_edges as attribute_edges
from .feature_effects import FeatureEffects as FeatureEffects
from .patching import ablate_features as ablate_features
from .patching import patch_features as patch_features
