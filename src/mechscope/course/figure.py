"""The final figure of a unit, drawn with the learner's own functions, and the number that it reproduces.

A unit's folder may hold a `figure.py` with

- `USES`: the names of the exercises whose functions the figure calls, and
- `draw(functions)`: the figure. `functions.NAME` is the learner's function where it has passed its check, and the
  reference where it has not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True)
class UnitFigure:
    """What the learner's functions give together."""

    figure: go.Figure
    """The figure, with titled axes that name their units."""
    caption: str
    """What to see in it, in one or two sentences."""
    number: float
    """The number that the unit reproduces, measured with the functions."""
    number_is: str
    """What the number is: "the share of test images that the network gets right"."""
    expected: tuple[float, float]
    """The range in which right functions put the number, whatever the seed."""

    @property
    def is_reproduced(self) -> bool:
        """Whether the number lies in the expected range."""
        low, high = self.expected
        return low <= self.number <= high
