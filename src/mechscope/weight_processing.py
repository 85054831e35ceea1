"""The classic `weight_processing`: steps that take and return a state dict.

`mechscope.model.weight_processing` has the same steps with a report of what each did.
"""

from mechscope.model.weight_processing.classic_steps import ProcessWeights

__all__ = ["ProcessWeights"]
