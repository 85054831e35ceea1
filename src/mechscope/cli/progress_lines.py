"""Progress as lines of text, for a log or a pipe, where a bar cannot be drawn."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from mechscope.pages.formatting import duration

SECONDS_BETWEEN = 30
"""Lines come at most this often, so that a log of a whole night stays short."""


class ProgressLines:
    """Prints now and then how far a command has come.

    >>> lines = ProgressLines("tokens", clock=iter([0, 10, 45]).__next__)
    >>> lines.step("harvest", 1_000, 9_000)
    >>> lines.say = lambda line: print(line.replace("\\xa0", " "))
    >>> lines.step("harvest", 4_500, 9_000)
    harvest: 4,500 of about 9,000 tokens, about 45 s left

    Args:
        unit: what is counted, in the plural.
        is_exact: whether totals are known, and not guessed.
        clock: the time in seconds.
        say: prints a line.
    """

    def __init__(
        self,
        unit: str,
        *,
        is_exact: bool = False,
        clock: Callable[[], float] = time.monotonic,
        say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
    ) -> None:
        self.unit, self.about, self.clock, self.say = unit, "" if is_exact else "about ", clock, say
        self._said = self._begun = clock()
        self._activity, self._done_before = "", 0

    def step(self, activity: str, done: int, total: int | None) -> None:
        """How much of an activity is done.

        Args:
            total: how much there is; None if nobody knows.
        """
        now = self.clock()
        if activity != self._activity:
            # What an earlier run has done says nothing about the speed.
            self._activity, self._begun, self._done_before = activity, now, done
        if now - self._said < SECONDS_BETWEEN:
            return
        self._said = now
        of = "" if total is None else f" of {self.about}{total:,}"
        new, left = done - self._done_before, ""
        if total is not None and new > 0 and total > done:
            left = f", about {duration((now - self._begun) * (total - done) / new)} left"
        self.say(f"{activity}: {done:,}{of} {self.unit}{left}")
