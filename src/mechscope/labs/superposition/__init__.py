"""Step 01: networks that represent more features than they have dimensions. Names are imported on first use."""

from mechscope.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(
    __name__,
    __file__,
    moved={
        "ToyCollection": "mechscope.checkpoints",
        "load_toy_models": "mechscope.checkpoints",
        "save_toy_models": "mechscope.checkpoints",
    },
)
