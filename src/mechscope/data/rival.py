"""Deprecated: use `Baseline` of `mechscope.data.baseline`."""

from mechscope.lazy import moved_names

__getattr__ = moved_names(
    __name__,
    {
        "Rival": "mechscope.data.baseline:Baseline",
        "add_counts": "mechscope.data.baseline",
        "look_up": "mechscope.data.baseline",
    },
)
