"""The classic `utilities.tracr`; `tracr_config` and `tracr_state_dict` make a HookedTransformer's."""

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
