"""Evaluate a dictionary: one metric per file, and `evaluate` for all of them. Names are imported on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mechscope.lazy import lazy_names

if TYPE_CHECKING:
    from mechscope.dictionaries.evaluation._reading import read_activations, read_features
    from mechscope.dictionaries.evaluation.absorption import absorption, hierarchy_probe
    from mechscope.dictionaries.evaluation.automatic_detection import automatic_detection
    from mechscope.dictionaries.evaluation.contexts import spread_contexts, top_contexts
    from mechscope.dictionaries.evaluation.cosine import MeanCosine
    from mechscope.dictionaries.evaluation.density import Activity, ActivityCounts, activity
    from mechscope.dictionaries.evaluation.detection import Detection, ExampleContexts, detection, windows
    from mechscope.dictionaries.evaluation.evaluating import Evaluation, evaluate
    from mechscope.dictionaries.evaluation.feature_page import FeaturePage, feature_pages
    from mechscope.dictionaries.evaluation.logit_lists import logit_effects, logit_lists
    from mechscope.dictionaries.evaluation.nearest_features import nearest_features
    from mechscope.dictionaries.evaluation.recovery import Recovery, feature_recovery
    from mechscope.dictionaries.evaluation.refitting import refit_gain
    from mechscope.dictionaries.evaluation.shrinkage import Shrinkage
    from mechscope.dictionaries.evaluation.sparse_probing import sparse_probing
    from mechscope.dictionaries.evaluation.splicing import Splice, spliced_loss
    from mechscope.dictionaries.evaluation.splitting import splitting
    from mechscope.dictionaries.evaluation.universality import Correlations, encoded, universality
    from mechscope.dictionaries.evaluation.variance import (
        VarianceUnexplained,
        fraction_of_variance_unexplained,
    )

_HERE = "mechscope.dictionaries.evaluation"
_HOMES = {
    name: f"{_HERE}.{module}"
    for module, names in {
        "absorption": ("absorption", "hierarchy_probe"),
        "automatic_detection": ("automatic_detection",),
        "contexts": ("spread_contexts", "top_contexts"),
        "cosine": ("MeanCosine",),
        "density": ("Activity", "ActivityCounts", "activity"),
        "detection": ("Detection", "ExampleContexts", "detection", "windows"),
        "evaluating": ("Evaluation", "evaluate"),
        "feature_page": ("FeaturePage", "feature_pages"),
        "logit_lists": ("logit_effects", "logit_lists"),
        "nearest_features": ("nearest_features",),
        "_reading": ("read_activations", "read_features"),
        "recovery": ("Recovery", "feature_recovery"),
        "refitting": ("refit_gain",),
        "shrinkage": ("Shrinkage",),
        "sparse_probing": ("sparse_probing",),
        "splicing": ("Splice", "spliced_loss"),
        "splitting": ("splitting",),
        "universality": ("Correlations", "encoded", "universality"),
        "variance": ("VarianceUnexplained", "fraction_of_variance_unexplained"),
    }.items()
    for name in names
}

__all__ = [
    "Activity",
    "ActivityCounts",
    "Correlations",
    "Detection",
    "Evaluation",
    "ExampleContexts",
    "FeaturePage",
    "MeanCosine",
    "Recovery",
    "Shrinkage",
    "Splice",
    "VarianceUnexplained",
    "absorption",
    "activity",
    "automatic_detection",
    "detection",
    "encoded",
    "evaluate",
    "feature_pages",
    "feature_recovery",
    "fraction_of_variance_unexplained",
    "hierarchy_probe",
    "logit_effects",
    "logit_lists",
    "nearest_features",
    "read_activations",
    "read_features",
    "refit_gain",
    "sparse_probing",
    "spliced_loss",
    "splitting",
    "spread_contexts",
    "top_contexts",
    "universality",
    "windows",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
