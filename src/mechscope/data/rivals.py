"""Deprecated: use `make_baselines` and `fit_baselines` of `mechscope.data.baselines`."""

from mechscope.lazy import moved_names

__getattr__ = moved_names(
    __name__,
    {
        "fit_rivals": "mechscope.data.baselines:fit_baselines",
        "make_rivals": "mechscope.data.baselines:make_baselines",
    },
)
