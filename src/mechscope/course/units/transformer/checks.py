"""The checks of unit T."""

from __future__ import annotations

from mechscope.course.units.transformer.checks_in_use import (
    check_attention_step,
    check_find_bug,
    check_language_model_loss,
    check_next_token_probabilities,
    check_sample,
    check_train,
)
from mechscope.course.units.transformer.checks_of_layers import (
    check_attention,
    check_attention_pattern,
    check_block,
    check_embed,
    check_gpt,
    check_layer_norm,
    check_mlp,
    check_rms_norm,
    check_rotary,
    check_unembed,
)

__all__ = [
    "check_attention",
    "check_attention_pattern",
    "check_attention_step",
    "check_block",
    "check_embed",
    "check_find_bug",
    "check_gpt",
    "check_language_model_loss",
    "check_layer_norm",
    "check_mlp",
    "check_next_token_probabilities",
    "check_rms_norm",
    "check_rotary",
    "check_sample",
    "check_train",
    "check_unembed",
]
