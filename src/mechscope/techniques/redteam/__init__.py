"""Red-team a hypothesis: rivals, edits, ablations and nulls, as an evidence ladder."""

from mechscope.techniques.redteam.evidence import Evidence, Rung, Verdict
from mechscope.techniques.redteam.hypotheses import Behaviour, Direction, Heads, Hypothesis
from mechscope.techniques.redteam.redteam import redteam

__all__ = ["Behaviour", "Direction", "Evidence", "Heads", "Hypothesis", "Rung", "Verdict", "redteam"]
