"""Whether a checkpoint's weights are quantised, seen from the weights themselves.

`quantization_config` in config.json does not tell: it stays there when weights are unpacked and saved again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from mechscope.checkpoints.weights_file import TensorSource

PARTS = (
    "qweight", "qzeros", "scales", "g_idx",  # GPTQ, AWQ
    "absmax", "quant_map", "nested_absmax", "nested_quant_map", "SCB", "weight_format",  # bitsandbytes
    "weight_scale", "weight_scale_inv", "weight_zero_point", "input_scale", "activation_scale",  # FP8
    "weight_packed", "weight_shape", "weight_g_idx",  # compressed-tensors
    "_blocks", "_scales",  # MXFP4
)  # fmt: skip
"""How the names of the tensors end that quantised weights consist of, beside weights of eight bits."""
WEIGHTS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def refuse_quantised(source: TensorSource, described: Any) -> None:
    """Refuse a checkpoint whose config.json describes a quantisation, if its weights are quantised indeed.

    Args:
        source: the tensors.
        described: the field `quantization_config`.

    Raises:
        ValueError: names the method and a tensor.
    """
    for name in source.names():
        if name.endswith(PARTS) or ".quant_state." in name:
            found = f"it has {name}"
        elif name.endswith(".weight") and (dtype := source.peek(name).dtype) not in WEIGHTS:
            found = f"{name} is {str(dtype).removeprefix('torch.')}"
        else:
            continue
        method = described.get("quant_method", "") if isinstance(described, Mapping) else ""
        by = f" by {method}" if method else ""
        raise ValueError(
            f"{source.where}: the weights are quantized{by} ({found}), which mechscope does not unpack. Load the "
            "unquantized checkpoint, or a GGUF file of the same model."
        )
