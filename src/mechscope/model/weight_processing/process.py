"""The steps of weight processing, in order, as pure functions of a config and its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch

from mechscope.model.config import HookedTransformerConfig
from mechscope.model.weight_processing.centring import center_unembed, center_writing_weights
from mechscope.model.weight_processing.editor import Measure, WeightEditor
from mechscope.model.weight_processing.factored_attention import refactor_factored_attn_matrices
from mechscope.model.weight_processing.fold_layer_norm import fold_layer_norm
from mechscope.model.weight_processing.report import ProcessedWeights, ProcessingReport, Step
from mechscope.model.weight_processing.value_biases import fold_value_biases

StepFunction = Callable[[HookedTransformerConfig, WeightEditor], tuple[HookedTransformerConfig, list[str]]]

# Value biases come after centring: a centred W_O makes what they become centred as well.
STEPS: dict[str, StepFunction] = {
    "fold_ln": fold_layer_norm,
    "center_writing_weights": center_writing_weights,
    "center_unembed": center_unembed,
    "fold_value_biases": fold_value_biases,
    "refactor_factored_attn_matrices": refactor_factored_attn_matrices,
}


def process_weights(
    cfg: HookedTransformerConfig,
    state_dict: Mapping[str, torch.Tensor],
    *,
    fold_ln: bool = True,
    center_writing_weights: bool = True,
    center_unembed: bool = True,
    fold_value_biases: bool = True,
    refactor_factored_attn_matrices: bool = False,
    measure_error: bool | Literal["sample"] = "sample",
) -> ProcessedWeights:
    """Weights that are easier to read and compute the same log-probabilities.

    What does not apply to a model is skipped, and the report says why. Arithmetic is in the weights'
    own data type, or in float32 where that is narrower, with one rounding a step.

    Args:
        cfg: the model's config.
        state_dict: its weights in the classic layout; not changed.
        fold_ln: move norms' scales and shifts into the weights that read them.
        center_writing_weights: make what is written to the residual stream have mean 0.
        center_unembed: make logits have mean 0 over the vocabulary.
        fold_value_biases: move b_V into b_O.
        refactor_factored_attn_matrices: make heads' inner axes the singular directions of QK and OV.
        measure_error: compare each step with float64: on a sample of entries, on all (True), or not.

    Raises:
        ValueError: for weights that lack a tensor which the config promises, or a refactoring of
            attention that the model does not allow.
    """
    asked = {
        "fold_ln": fold_ln,
        "center_writing_weights": center_writing_weights,
        "center_unembed": center_unembed,
        "fold_value_biases": fold_value_biases,
        "refactor_factored_attn_matrices": refactor_factored_attn_matrices,
    }
    return run_steps(cfg, state_dict, asked, measure_error)


def run_steps(
    cfg: HookedTransformerConfig,
    state_dict: Mapping[str, torch.Tensor],
    asked: Mapping[str, bool],
    measure_error: bool | Literal["sample"] = "sample",
    *,
    in_place: bool = False,
) -> ProcessedWeights:
    """Take the steps of `asked` that are True, in the order of STEPS.

    Args:
        in_place: edit the mapping, which must be a dict, and its tensors, each of which has memory of its own.
    """
    measure: Measure = "sample" if measure_error == "sample" else "full" if measure_error else "none"
    dtype = cfg.dtype
    weights = WeightEditor(state_dict, measure, in_place=in_place)
    steps = []
    with torch.no_grad():
        for name, take in STEPS.items():
            if not asked.get(name):
                if name in asked:
                    steps.append(Step(name, "not asked for"))
                continue
            weights.start_step()
            before = cfg
            cfg, notes = take(cfg, weights)
            changed = tuple(weights.changed)
            done = bool(changed) or cfg is not before
            steps.append(Step(name, "done" if done else "skipped", tuple(notes), changed, weights.error()))
    report = ProcessingReport(cfg.model_name, dtype, tuple(steps), measure)
    return ProcessedWeights(cfg, weights.tensors, report)
