"""The steps of weight processing with the classic signature: from a state dict to a state dict.

The layout stays that of the config: a folded norm keeps a scale of 1 and a shift of 0, so the result loads into the
model that the weights came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from mechscope.model._state_dict_completion import UNFOLDED, complete_state_dict, identity_norms
from mechscope.model.config import HookedTransformerConfig
from mechscope.model.weight_processing.process import run_steps

StateDict = Mapping[str, torch.Tensor]
Config = HookedTransformerConfig | Mapping[str, Any]


class ProcessWeights:
    """Each step of weight processing, as a function of a classic state dict and a config."""

    @staticmethod
    def fold_layer_norm(
        state_dict: StateDict, cfg: Config, fold_biases: bool = True, center_weights: bool = True
    ) -> dict[str, torch.Tensor]:
        """Fold norms into the weights that read them (see `weight_processing.fold_layer_norm`).

        Args:
            state_dict: the weights in the classic layout.
            cfg: their config, or a mapping of its fields.
            fold_biases: must be True for LayerNorm; has no effect for RMSNorm, which has no shift.
            center_weights: must be True for LayerNorm; has no effect for RMSNorm, which subtracts no mean.

        Raises:
            ValueError: if only part of a LayerNorm should be folded.
        """
        cfg = HookedTransformerConfig.unwrap(cfg)
        if cfg.normalization_type in ("LN", "LNPre") and not (fold_biases and center_weights):
            raise ValueError(
                "a LayerNorm can only be folded completely: its scale, its shift and its mean subtraction. Leave "
                "fold_biases and center_weights at True."
            )
        return _steps(state_dict, cfg, {"fold_ln": True})

    @staticmethod
    def center_writing_weights(state_dict: StateDict, cfg: Config) -> dict[str, torch.Tensor]:
        """Give the weights that write to the residual stream mean 0 over d_model."""
        return _steps(state_dict, HookedTransformerConfig.unwrap(cfg), {"center_writing_weights": True})

    @staticmethod
    def center_unembed(state_dict: StateDict, cfg: Config) -> dict[str, torch.Tensor]:
        """Give logits mean 0 over the vocabulary."""
        return _steps(state_dict, HookedTransformerConfig.unwrap(cfg), {"center_unembed": True})

    @staticmethod
    def fold_value_biases(state_dict: StateDict, cfg: Config) -> dict[str, torch.Tensor]:
        """Move b_V into b_O."""
        return _steps(state_dict, HookedTransformerConfig.unwrap(cfg), {"fold_value_biases": True})

    @staticmethod
    def refactor_factored_attn_matrices(state_dict: StateDict, cfg: Config) -> dict[str, torch.Tensor]:
        """Make the inner axes of heads the singular directions of QK and OV."""
        return _steps(
            state_dict, HookedTransformerConfig.unwrap(cfg), {"refactor_factored_attn_matrices": True}
        )

    @staticmethod
    def process_weights(
        state_dict: StateDict,
        cfg: Config,
        fold_ln: bool = True,
        center_writing_weights: bool = True,
        center_unembed: bool = True,
        fold_value_biases: bool = True,
        refactor_factored_attn_matrices: bool = False,
    ) -> dict[str, torch.Tensor]:
        """Take all steps (see `weight_processing.process_weights`, which also returns a report)."""
        requested = {
            "fold_ln": fold_ln,
            "center_writing_weights": center_writing_weights,
            "center_unembed": center_unembed,
            "fold_value_biases": fold_value_biases,
            "refactor_factored_attn_matrices": refactor_factored_attn_matrices,
        }
        return _steps(state_dict, HookedTransformerConfig.unwrap(cfg), requested)


def _steps(
    state_dict: StateDict, cfg: HookedTransformerConfig, requested: Mapping[str, bool]
) -> dict[str, torch.Tensor]:
    folds = bool(requested.get("fold_ln"))
    before = cfg
    if folds:
        cfg, state_dict = complete_state_dict(cfg, state_dict, {})
    processed = run_steps(cfg, state_dict, requested)
    found = processed.state_dict
    if folds and processed.cfg.normalization_type in UNFOLDED and before.normalization_type not in UNFOLDED:
        found = {**identity_norms(before, found), **found}
    return dict(found)
