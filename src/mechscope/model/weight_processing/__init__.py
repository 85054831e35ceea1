"""Other weights, the same log-probabilities: pure functions that make a model easier to read."""

from mechscope.model.weight_processing.process import process_weights
from mechscope.model.weight_processing.report import (
    ProcessedWeights,
    ProcessingReport,
    RoundingError,
    Step,
)
from mechscope.model.weight_processing.single_steps import (
    center_unembed,
    center_writing_weights,
    fold_layer_norm,
    fold_value_biases,
    refactor_factored_attn_matrices,
)

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
