"""What the process that checks are forked from imports as well if many checks follow.

These are the parts of torch that optimizers and the counting of operations load when they are first used, which takes
another second.
"""

import torch

from mechscope.course import preloaded
from mechscope.course.kit import operations

operations(lambda: torch.zeros(1) + 1)

__all__ = ["preloaded"]
