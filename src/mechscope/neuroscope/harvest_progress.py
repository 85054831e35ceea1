"""Show how far a harvest has come: tokens, tokens per second, and the time left."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType

from tqdm import tqdm

from mechscope.runs.progress_file import progress_reporter

Steps = Callable[[int, int | None], None]
"""Is told how many tokens were read, and about how many there will be, if that is known."""


class HarvestProgress:
    """A bar of tokens on the terminal, and the progress file of a job.

    Args:
        characters: about how many characters the corpus has; None if nobody knows.
        max_tokens: where the harvest stops.
        show: whether to draw the bar: True, False, or None for "on a terminal".
        expected: about how many tokens will be read, which is a better guess than `max_tokens` until a shard is
            finished, and says at the end of which shard the harvest stops; None if nobody knows.
        steps: is told the number of tokens so far, and about how many there will be, if no bar is drawn.
    """

    def __init__(
        self,
        characters: int | None,
        max_tokens: int | None,
        show: bool | None,
        expected: int | None = None,
        steps: Steps = lambda done, total: None,
    ) -> None:
        self.steps = steps
        self.characters, self.max_tokens, self.expected = characters, max_tokens, expected
        self.tokens = self.characters_read = self.ahead = 0
        # None leaves it to tqdm, which looks whether this is a terminal.
        self.bar = tqdm(
            desc="harvest",
            unit=" tokens",
            unit_scale=True,
            total=max_tokens if expected is None else expected,
            # An even speed over the whole run, because a time left that jumps says nothing.
            smoothing=0.02,
            disable=None if show is None else not show,
        )

    def __enter__(self) -> HarvestProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()

    def add(self, tokens: int, characters: int, *, before: bool = False) -> None:
        """Count a shard.

        Args:
            before: whether an earlier run harvested it, so that it says nothing about the speed.
        """
        self.tokens += tokens
        self.characters_read += characters
        self.bar.total = total = self._total()
        if before and not self.hidden:
            # What is done already says nothing about the speed.
            self.bar.initial += tokens
            self.bar.n += tokens
            self.bar.refresh()
        else:
            known = min(tokens, self.ahead)
            self.ahead -= known
            self.bar.update(tokens - known)
        if not before:
            self._step()
        if reporter := progress_reporter():
            reporter.step("harvest", self.tokens, total or 0)

    def read_ahead(self, tokens: int) -> None:
        """Show tokens of shards that are not finished; a negative number takes back what a lost worker has read."""
        self.ahead += tokens
        if self.bar.total is not None:
            # A shard is read to its end, even if that is beyond where the harvest stops.
            self.bar.total = max(self.bar.total, self.tokens + self.ahead)
        self.bar.update(tokens)
        self._step()

    @property
    def hidden(self) -> bool:
        """Whether no bar is drawn."""
        return bool(self.bar.disable)

    def _step(self) -> None:
        if self.hidden:
            self.steps(self.tokens + self.ahead, self.bar.total)

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        tqdm.write(line, file=sys.stderr)

    def _total(self) -> int | None:
        """About how many tokens there will be, judged by those of the characters that were read so far."""
        stop = self.max_tokens if self.max_tokens is None or self.expected is None else self.expected
        if self.characters is None or not self.characters_read:
            return stop if self.expected is None else self.expected
        whole = max(round(self.tokens * self.characters / self.characters_read), self.tokens)
        return whole if stop is None else min(whole, max(stop, self.tokens))
