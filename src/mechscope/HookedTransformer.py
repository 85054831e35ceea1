"""The classic module `HookedTransformer`, whose name is also that of its class.

`mechscope.HookedTransformer` is the class, whichever is imported first.
"""

import torch

from mechscope.model.transformer import HookedTransformer, Output

EasyTransformer = HookedTransformer
"""What the class was called in its first year."""

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
