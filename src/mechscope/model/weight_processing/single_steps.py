"""Each step of weight processing by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch

from mechscope.model.config import HookedTransformerConfig
from mechscope.model.weight_processing.process import run_steps
from mechscope.model.weight_processing.report import ProcessedWeights

StateDict = Mapping[str, torch.Tensor]
MeasureError = bool | Literal["sample"]


def fold_layer_norm(
    cfg: HookedTransformerConfig, state_dict: StateDict, *, measure_error: MeasureError = "sample"
) -> ProcessedWeights:
    """Move norms' scales and shifts into the weights that read them (see `process_weights`)."""
    return run_steps(cfg, state_dict, {"fold_ln": True}, measure_error)


def center_writing_weights(
    cfg: HookedTransformerConfig, state_dict: StateDict, *, measure_error: MeasureError = "sample"
) -> ProcessedWeights:
    """Make what is written to the residual stream have mean 0 over d_model (see `process_weights`)."""
    return run_steps(cfg, state_dict, {"center_writing_weights": True}, measure_error)


def center_unembed(
    cfg: HookedTransformerConfig, state_dict: StateDict, *, measure_error: MeasureError = "sample"
) -> ProcessedWeights:
    """Make logits have mean 0 over the vocabulary (see `process_weights`)."""
    return run_steps(cfg, state_dict, {"center_unembed": True}, measure_error)


def fold_value_biases(
    cfg: HookedTransformerConfig, state_dict: StateDict, *, measure_error: MeasureError = "sample"
) -> ProcessedWeights:
    """Move b_V into b_O (see `process_weights`)."""
    return run_steps(cfg, state_dict, {"fold_value_biases": True}, measure_error)


def refactor_factored_attn_matrices(
    cfg: HookedTransformerConfig, state_dict: StateDict, *, measure_error: MeasureError = "sample"
) -> ProcessedWeights:
    """Make heads' inner axes the singular directions of QK and OV (see `process_weights`)."""
    return run_steps(cfg, state_dict, {"refactor_factored_attn_matrices": True}, measure_error)
