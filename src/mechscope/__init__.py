"""mechscope: look inside neural networks.

    import mechscope as ms

    model = ms.load_model("induction-2l")
    task = ms.tasks.repeated_random_tokens(model)
    ms.patch(model, task, "head").show()

Names here are looked up when they are first used, so that importing the package is nearly free and
torch is loaded only by what needs it.
"""

from mechscope.lazy import attach_stub

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
__all__ += ["__version__"]
