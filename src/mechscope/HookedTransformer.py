"""The classic module `HookedTransformer`, which has the same name as its class.

`mechscope.HookedTransformer` is the class, even after this module was imported.
"""

import torch

from mechscope.model.transformer import HookedTransformer, Output

EasyTransformer = HookedTransformer
"""The first name of the class."""

Loss = torch.Tensor
DTYPE_FROM_STRING = {
    "float32": torch.float32,
    "fp32": torch.float32,
    "float16": torch.float16,
    "fp16": torch.float16,
    "bfloat16": torch.bfloat16,
    "bf16": torch.bfloat16,
}

__all__ = ["DTYPE_FROM_STRING", "EasyTransformer", "HookedTransformer", "Loss", "Output"]
