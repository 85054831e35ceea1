"""The replications: each a small experiment with its claims as data, its figures and its lesson.

Every name is imported when it is first used: listing the labs does not load torch.
"""

from mechscope.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(
    __name__,
    __file__,
    moved={"Workshop": "mechscope.runs:Workspace", "pick_device": "mechscope.model.devices"},
)
