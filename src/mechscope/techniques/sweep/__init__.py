"""The sweep engine: many interventions on one run, each recomputing only what it can change."""

from mechscope.lazy import attach_modules
from mechscope.techniques.sweep._lazy_logits import LazyLogits
from mechscope.techniques.sweep._memory import memory_budget
from mechscope.techniques.sweep.edit import Edit
from mechscope.techniques.sweep.sweep import Sweep
from mechscope.techniques.sweep.task_sweep import TaskSweep

__getattr__ = attach_modules(__name__, __file__)

__all__ = ["Edit", "LazyLogits", "Sweep", "TaskSweep", "memory_budget"]
