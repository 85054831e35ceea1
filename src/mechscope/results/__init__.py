"""Results: labelled arrays with a unit and provenance, which can be displayed as figures.

Names are imported when first used: xarray takes a while to load, and loading a model needs none of it.
"""

from mechscope.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
