"""The classic module `utilities.tracr`; `tracr_config` and `tracr_state_dict` are for a HookedTransformer."""

from mechscope.checkpoints.tracr import (
    infer_tracr_output_label,
    make_tracr_categorical_unembed,
    tracr_config,
    tracr_state_dict,
)

__all__ = [
    "infer_tracr_output_label",
    "make_tracr_categorical_unembed",
    "tracr_config",
    "tracr_state_dict",
]
