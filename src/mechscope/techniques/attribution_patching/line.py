"""Where gradients are taken on the straight line from one run's values to the other's."""

from __future__ import annotations

from mechscope.arguments import is_whole_number


def check_steps(steps: int) -> None:
    """Raise ValueError unless it is a whole number above 0."""
    if not is_whole_number(steps, least=1):
        raise ValueError(f"steps is how many gradients are averaged, at least 1, not {steps!r}.")


def points_on_line(steps: int) -> list[float]:
    """Shares of the way: the base itself for one step, else the middles of that many pieces.

    >>> points_on_line(1), points_on_line(2)
    ([0.0], [0.25, 0.75])
    """
    return [0.0] if steps == 1 else [(step + 0.5) / steps for step in range(steps)]
