"""Deprecated: use `Baseline` of `mechscope.data.baseline`."""

from mechscope.lazy import lazy_names

__getattr__, __dir__ = lazy_names(
    __name__,
    {},
    moved={
        "Rival": "mechscope.data.baseline:Baseline",
        "add_counts": "mechscope.data.baseline",
        "look_up": "mechscope.data.baseline",
    },
)
