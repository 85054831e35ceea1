"""Red-team a hypothesis: test it with baselines, edits, ablations and nulls, and report the evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mechscope.lazy import lazy_names

if TYPE_CHECKING:
    from mechscope.techniques.redteam.evidence import Check, Evidence, Verdict
    from mechscope.techniques.redteam.hypotheses import Behaviour, Direction, Heads, Hypothesis
    from mechscope.techniques.redteam.redteam import redteam

_HERE = "mechscope.techniques.redteam"
_HOMES = {
    "Behaviour": f"{_HERE}.hypotheses",
    "Check": f"{_HERE}.evidence",
    "Direction": f"{_HERE}.hypotheses",
    "Evidence": f"{_HERE}.evidence",
    "Heads": f"{_HERE}.hypotheses",
    "Hypothesis": f"{_HERE}.hypotheses",
    "Verdict": f"{_HERE}.evidence",
    "redteam": f"{_HERE}.redteam",
}

__all__ = ["Behaviour", "Check", "Direction", "Evidence", "Heads", "Hypothesis", "Verdict", "redteam"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES, moved={"Rung": f"{_HERE}:Check"})
