"""What a check or a drawing found, as data for the terminal and for pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from mechscope.settings import Settings

Status = Literal["passed", "failed", "not-started", "broken", "stopped"]
"""failed: the function gives a wrong answer; broken: it or its file raises an error; stopped: out of time or memory."""


@dataclass(frozen=True)
class CheckResult(Settings):
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
        return self.to_dict()


@dataclass(frozen=True)
class FigureResult:
    """The final figure of a unit, drawn with the learner's functions."""

    unit: str
    """The unit's id."""
    status: Literal["drawn", "broken", "stopped"]
    """broken: a function or the file raises an error; stopped: out of time or memory."""
    problem: str = ""
    """What went wrong, in a sentence; empty if it was drawn."""
    diagnosis: str = ""
    """What that usually means; empty if it is not known."""
    line: int = 0
    """The line of the learner's file that the problem is about; 0 if it is about none."""
    source: str = ""
    """The text of that line."""
    printed: str = ""
    """What the learner's code printed, cut off after some thousand characters."""
    yours: tuple[str, ...] = ()
    """The functions of the learner that it was drawn with."""
    references: tuple[str, ...] = ()
    """The functions for which the reference stood."""
    title: str = ""
    """The heading of the figure."""
    caption: str = ""
    """What to see in it."""
    plot: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """`data` and `layout` as Plotly reads them, without title and theme."""
    number: float = 0.0
    """The number that the unit reproduces."""
    number_is: str = ""
    """What the number is."""
    expected: tuple[float, float] = (0.0, 0.0)
    """The range in which right functions put the number."""
    is_reproduced: bool = False
    """Whether it lies there."""

    def to_json(self) -> dict[str, Any]:
        """The fields as a dictionary."""
        return asdict(self)

    @property
    def number_in_words(self) -> str:
        """The number, what it is, and whether it lies in the expected range.

        >>> FigureResult("P", "drawn", number=0.5, number_is="the slope", expected=(0.4, 0.6)).number_in_words
        '0.5: the slope. Expected: 0.4 to 0.6. Not reproduced.'
        """
        low, high = self.expected
        verdict = "Reproduced." if self.is_reproduced else "Not reproduced."
        return f"{self.number:.4g}: {self.number_is}. Expected: {low:.4g} to {high:.4g}. {verdict}"

    @property
    def functions_in_words(self) -> str:
        """Which of the functions are the learner's, in a sentence or two.

        >>> FigureResult("P", "drawn", yours=("rotate",), references=("low_rank", "change_basis")).functions_in_words
        'Drawn with your rotate. The reference stands for low_rank and change_basis.'
        """
        if not self.references:
            return f"Drawn with your {_listed(self.yours)}."
        if not self.yours:
            return "Drawn with the reference functions, because none of yours that it needs has passed yet."
        return f"Drawn with your {_listed(self.yours)}. The reference stands for {_listed(self.references)}."


def _listed(names: tuple[str, ...]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
