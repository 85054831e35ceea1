"""The sweep engine: many interventions on one run, each recomputing only what it can change."""

from mechscope.techniques.sweep.edit import Edit
from mechscope.techniques.sweep.lazy_logits import LazyLogits
from mechscope.techniques.sweep.memory import memory_budget
from mechscope.techniques.sweep.sweep import Sweep

__all__ = ["Edit", "LazyLogits", "Sweep", "memory_budget"]
