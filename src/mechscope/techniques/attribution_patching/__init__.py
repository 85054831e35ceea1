"""Attribution patching: first-order estimates of patching, with corrections for known failures."""

from mechscope.techniques.attribution_patching.estimate import Attributions, attribution_patching

__all__ = ["Attributions", "attribution_patching"]
