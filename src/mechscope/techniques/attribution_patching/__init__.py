"""Attribution patching: first-order estimates of patching, and the repairs for where they fail."""

from mechscope.techniques.attribution_patching.estimate import Attributions, attribution_patching

__all__ = ["Attributions", "attribution_patching"]
