"""The classic module `weight_processing`: steps that take and return a state dict.

`mechscope.model.weight_processing` has the same steps, and a report of each.
"""

from mechscope.model.weight_processing.classic_steps import ProcessWeights

__all__ = ["ProcessWeights"]
