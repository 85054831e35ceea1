"""The classic module `loading_from_pretrained`: names, checkpoints, configs and weights of models."""

import sys

from mechscope.checkpoints.classic_names import (
    DEFAULT_MODEL_ALIASES,
    MODEL_ALIASES,
    OFFICIAL_MODEL_NAMES,
    PYTHIA_CHECKPOINTS,
    STANFORD_CRFM_CHECKPOINTS,
    fill_missing_keys,
    get_checkpoint_labels,
    get_num_params_of_pretrained,
    get_official_model_name,
    get_pretrained_model_config,
    get_pretrained_state_dict,
    make_model_alias_map,
)

loading = sys.modules[__name__]
"""This module, which has a second name in the classic package: `mechscope.loading`."""

__all__ = [
    "DEFAULT_MODEL_ALIASES",
    "MODEL_ALIASES",
    "OFFICIAL_MODEL_NAMES",
    "PYTHIA_CHECKPOINTS",
    "STANFORD_CRFM_CHECKPOINTS",
    "fill_missing_keys",
    "get_checkpoint_labels",
    "get_num_params_of_pretrained",
    "get_official_model_name",
    "get_pretrained_model_config",
    "get_pretrained_state_dict",
    "loading",
    "make_model_alias_map",
]
