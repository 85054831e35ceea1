"""What a check found, as data for the terminal and for pages."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Status = Literal["passed", "failed", "not-started", "broken", "stopped"]
"""failed: the function gives a wrong answer; broken: it or its file raises an error; stopped: out of time or memory."""


@dataclass(frozen=True)
class CheckResult:
    """The answer to "is my function right?"."""

    exercise: str
    """The exercise's id."""
    status: Status
    """What happened."""
    seed: int
    """The seed from which the check's inputs were drawn."""
    seconds: float = 0.0
    """How long the check took, without starting Python."""
    problem: str = ""
    """What is wrong, in a sentence; empty if it passed."""
    diagnosis: str = ""
    """Why it probably is wrong: the mistake that gives exactly this answer; empty if it is not known."""
    call: str = ""
    """The call that went wrong, with the shapes of its arguments."""
    line: int = 0
    """The line of the learner's file that the problem is about; 0 if it is about none."""
    source: str = ""
    """The text of that line."""
    printed: str = ""
    """What the learner's code printed, cut off after some thousand characters."""
    notes: tuple[str, ...] = ()
    """What else the check found out about a function that passed: an accuracy, or a comparison it could not make."""

    def to_json(self) -> dict[str, Any]:
        """The fields as a dictionary."""
        return asdict(self)
