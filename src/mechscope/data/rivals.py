"""Deprecated: use `make_baselines` and `fit_baselines` of `mechscope.data.baselines`."""

from mechscope.lazy import lazy_names

__getattr__, __dir__ = lazy_names(
    __name__,
    {},
    moved={
        "fit_rivals": "mechscope.data.baselines:fit_baselines",
        "make_rivals": "mechscope.data.baselines:make_baselines",
    },
)
