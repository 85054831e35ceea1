"""Attribution patching: first-order estimates of patching, with corrections for known failures."""

from mechscope.lazy import attach_modules
from mechscope.techniques.attribution_patching._gradient_pass import GradientPass, check_steps, points_on_line
from mechscope.techniques.attribution_patching._two_runs import TwoRuns
from mechscope.techniques.attribution_patching.estimate import Attributions, attribution_patching

__getattr__ = attach_modules(__name__, __file__)

__all__ = [
    "Attributions",
    "GradientPass",
    "TwoRuns",
    "attribution_patching",
    "check_steps",
    "points_on_line",
]
