"""Red-team a hypothesis: test it with baselines, edits, ablations and nulls, and report the evidence."""

from mechscope.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(
    __name__, __file__, moved={"Rung": "mechscope.techniques.redteam:Check"}
)
