"""Process weights: all steps in order, or one step, as pure functions of a config and its weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import torch

from mechscope.model.config import HookedTransformerConfig
from mechscope.model.weight_processing import _centring, _factored_attention, _folding
from mechscope.model.weight_processing._editor import Measure, Part, WeightEditor
from mechscope.model.weight_processing.report import ProcessedWeights, ProcessingReport, Step

StateDict = Mapping[str, torch.Tensor]
MeasureError = bool | Literal["sample"]
StepFunction = Callable[[HookedTransformerConfig, WeightEditor], tuple[HookedTransformerConfig, list[str]]]

# Value biases come after centring, because b_V W_O is only centred if W_O is.
STEPS: dict[str, StepFunction] = {
    "fold_ln": _folding.fold_layer_norm,
    "center_writing_weights": _centring.center_writing_weights,
    "center_unembed": _centring.center_unembed,
    "fold_value_biases": _folding.fold_value_biases,
    "refactor_factored_attn_matrices": _factored_attention.refactor_factored_attn_matrices,
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
    """Weights that are easier to interpret and compute the same log-probabilities.

    Steps that do not apply to a model are skipped, and the report says why. Arithmetic is in the weights' own data
    type, or in float32 if that is narrower, with one rounding per step.

    Args:
        cfg: the model's config.
        state_dict: its weights in the classic layout; not changed.
        fold_ln: move the scales and shifts of norms into the weights that read them.
        center_writing_weights: give everything that is written to the residual stream mean 0 over d_model.
        center_unembed: give logits mean 0 over the vocabulary.
        fold_value_biases: move b_V into b_O.
        refactor_factored_attn_matrices: make the inner axes of heads the singular directions of QK and OV.
        measure_error: compare each step with float64: "sample" compares a sample of entries, True all of them, and
            False none.

    Raises:
        ValueError: for weights that lack a tensor which the config requires, or if the attention cannot be refactored.

    >>> from mechscope.model.transformer import HookedTransformer
    >>> model = HookedTransformer({"n_layers": 1, "d_model": 8, "n_ctx": 4, "d_head": 4, "d_vocab": 5,
    ...                            "attn_only": True, "seed": 0})
    >>> processed = process_weights(model.cfg, model.state_dict())
    >>> processed.cfg.normalization_type, processed.report["fold_ln"].outcome
    ('LNPre', 'done')
    """
    requested = {
        "fold_ln": fold_ln,
        "center_writing_weights": center_writing_weights,
        "center_unembed": center_unembed,
        "fold_value_biases": fold_value_biases,
        "refactor_factored_attn_matrices": refactor_factored_attn_matrices,
    }
    return run_steps(cfg, state_dict, requested, measure_error)


def run_steps(
    cfg: HookedTransformerConfig,
    state_dict: Mapping[str, torch.Tensor],
    requested: Mapping[str, bool],
    measure_error: bool | Literal["sample"] = "sample",
    *,
    in_place: bool = False,
    part: Part = "all",
) -> ProcessedWeights:
    """Take the steps that are True in `requested`, in the order of STEPS.

    Args:
        cfg: the model's config.
        state_dict: its weights in the classic layout.
        requested: names of steps, as in the arguments of `process_weights`.
        measure_error: see `process_weights`.
        in_place: edit the dict itself and its tensors, none of which may share memory.
        part: which part of the model the weights are; the others are left out.
    """
    measure: Measure = "sample" if measure_error == "sample" else "full" if measure_error else "none"
    dtype = cfg.dtype
    weights = WeightEditor(state_dict, measure, in_place=in_place, part=part)
    steps = []
    with torch.no_grad():
        for name, take in STEPS.items():
            if not requested.get(name):
                if name in requested:
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


def process_parts(
    cfg: HookedTransformerConfig,
    parts: Iterable[dict[str, torch.Tensor]],
    requested: Mapping[str, bool],
    dtype: torch.dtype,
) -> ProcessedWeights:
    """Take steps in one part of a model after another, and round each when it is done.

    No step needs two blocks at once, so that the weights of only one part are in memory in the wider type.

    Args:
        cfg: the model's config, with the data type of the computation.
        parts: weights in the classic layout: what is outside of the blocks, then one block after another. They are
            edited, and none of them may share memory.
        requested: names of steps, as in the arguments of `process_weights`.
        dtype: the data type of the result.
    """
    if _folding.reads_other_blocks(cfg):
        whole: dict[str, torch.Tensor] = {}
        for part in parts:
            whole |= part
        named: Iterable[tuple[Part, dict[str, torch.Tensor]]] = [("all", whole)]
    else:
        named = ((number - 1 if number else "outside", part) for number, part in enumerate(parts))
    state: dict[str, torch.Tensor] = {}
    reports: list[ProcessingReport] = []
    final: HookedTransformerConfig | None = None
    for name, part in named:
        processed = run_steps(cfg, part, requested, in_place=True, part=name)
        # The first part has the embeddings, so that it knows whether they are still tied.
        final = final or processed.cfg
        reports.append(processed.report)
        for each in list(part):
            state[each] = part.pop(each).to(dtype)
    return ProcessedWeights(
        dataclasses.replace(final or cfg, dtype=dtype), state, ProcessingReport.merged(reports)
    )


# Each step by itself --------------------------------------------------------------------------------


def fold_layer_norm(
    cfg: HookedTransformerConfig, state_dict: StateDict, *, measure_error: MeasureError = "sample"
) -> ProcessedWeights:
    """Move the scales and shifts of norms into the weights that read them (see `process_weights`)."""
    return run_steps(cfg, state_dict, {"fold_ln": True}, measure_error)


def center_writing_weights(
    cfg: HookedTransformerConfig, state_dict: StateDict, *, measure_error: MeasureError = "sample"
) -> ProcessedWeights:
    """Give everything that is written to the residual stream mean 0 over d_model (see `process_weights`)."""
    return run_steps(cfg, state_dict, {"center_writing_weights": True}, measure_error)


def center_unembed(
    cfg: HookedTransformerConfig, state_dict: StateDict, *, measure_error: MeasureError = "sample"
) -> ProcessedWeights:
    """Give logits mean 0 over the vocabulary (see `process_weights`)."""
    return run_steps(cfg, state_dict, {"center_unembed": True}, measure_error)


def fold_value_biases(
    cfg: HookedTransformerConfig, state_dict: StateDict, *, measure_error: MeasureError = "sample"
) -> ProcessedWeights:
    """Move b_V into b_O (see `process_weights`)."""
    return run_steps(cfg, state_dict, {"fold_value_biases": True}, measure_error)


def refactor_factored_attn_matrices(
    cfg: HookedTransformerConfig, state_dict: StateDict, *, measure_error: MeasureError = "sample"
) -> ProcessedWeights:
    """Make the inner axes of heads the singular directions of QK and OV (see `process_weights`)."""
    return run_steps(cfg, state_dict, {"refactor_factored_attn_matrices": True}, measure_error)
