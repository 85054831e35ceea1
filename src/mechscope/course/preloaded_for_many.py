"""What the process that checks are forked from imports as well if many checks follow.

These are the parts of torch that einops and optimizers load when they are first used, which takes another second.
"""

import einops
import torch

from mechscope.course import preloaded

einops.rearrange(torch.zeros(1), "a -> a")

__all__ = ["preloaded"]
