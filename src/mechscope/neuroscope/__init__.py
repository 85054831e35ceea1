"""What makes each unit of a model fire: harvest text, browse the units, and test what you think they do.

    import mechscope as ms

    store = ms.neuroscope.open_store("mini-gelu-1l")
    store.unit("mlp0/109")
    ms.neuroscope.fire(store, "import os")

Names are imported when they are first used.
"""

from mechscope.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
