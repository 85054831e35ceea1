"""Weight processing: pure functions that make weights easier to interpret and leave log-probabilities unchanged."""

from mechscope.lazy import attach_modules
from mechscope.model.weight_processing.process import (
    center_unembed,
    center_writing_weights,
    fold_layer_norm,
    fold_value_biases,
    process_weights,
    refactor_factored_attn_matrices,
)
from mechscope.model.weight_processing.report import (
    ProcessedWeights,
    ProcessingReport,
    RoundingError,
    Step,
)

__getattr__ = attach_modules(__name__, __file__)

__all__ = [
    "ProcessedWeights",
    "ProcessingReport",
    "RoundingError",
    "Step",
    "center_unembed",
    "center_writing_weights",
    "fold_layer_norm",
    "fold_value_biases",
    "process_weights",
    "refactor_factored_attn_matrices",
]
