"""n-gram baselines: predict the next token from the last few, by counting.

Counts are stored as sorted lists of the n-grams that occurred, so that memory grows with the text and not with the
vocabulary; only the result [batch pos d_vocab] is dense.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mechscope.arguments import is_whole_number
from mechscope.data.baseline import Baseline, add_counts, look_up


@dataclass(frozen=True)
class _Level:
    """All k-grams that occurred, sorted. A k-gram is the index of its (k-1)-gram in the level below, and a token."""

    codes: Tensor
    """Index of the (k-1)-gram times d_vocab, plus the token [gram]."""
    tokens: Tensor
    """The last token of each [gram]."""
    counts: Tensor
    """How often each occurred [gram]."""
    sums: Tensor
    """The counts of all grams before each [gram+1]."""


class NGram(Baseline):
    """The next token given the last n - 1, interpolated with all shorter contexts.

    P_k(x | context) = (count(context, x) + s P_{k-1}(x | shorter context)) / (count(context) + s), down to P_0 = 1 /
    d_vocab, with the smoothing s in counts: frequent contexts dominate, and an unseen context falls back on the
    shorter one. Source: Dirichlet-prior smoothing (MacKay and Peto 1995).

    >>> tokens = torch.tensor([[0, 1, 2, 0, 1, 2]])
    >>> NGram(3, n=2).fit(tokens).log_probabilities(tokens)[0, 0].argmax().item()
    1

    Raises:
        ValueError: for n below 1 or smoothing that is not positive.
    """

    def __init__(self, d_vocab: int, n: int = 3, smoothing: float = 1.0) -> None:
        super().__init__(d_vocab)
        if not is_whole_number(n, least=1):
            raise ValueError(f"n is the length of the n-grams and must be at least 1, not {n!r}.")
        if not smoothing > 0:
            raise ValueError(
                f"smoothing is a number of counts and must be above 0, not {smoothing!r}: zero gives log 0."
            )
        self.n, self.smoothing = int(n), float(smoothing)
        self.name = {1: "unigram", 2: "bigram", 3: "trigram"}.get(self.n, f"{n}-gram")
        self._levels: list[_Level] = []

    def _fit(self, tokens: Tensor) -> None:
        self._levels = []
        places = torch.zeros_like(tokens)
        for k in range(self.n):
            if k >= tokens.shape[1]:
                break
            # The first token of a sequence is no next token, so only the counts of single tokens include it.
            codes = places * self.d_vocab + tokens[:, k:]
            found, inverse, counts = codes.unique(return_inverse=True, return_counts=True)
            sums = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
            self._levels.append(_Level(found, found % self.d_vocab, counts, sums))
            places = inverse[:, : tokens.shape[1] - k - 1]

    def _probabilities(self, tokens: Tensor) -> Tensor:
        found = torch.full((*tokens.shape, self.d_vocab), 1 / self.d_vocab)
        for k, level in enumerate(self._levels[: tokens.shape[1] + 1]):
            # Positions before k - 1 have no context of k tokens and keep the estimate from shorter contexts.
            here = found[:, max(k - 1, 0) :]
            _, start, end, total = self._contexts(tokens, k)
            table = (start.flatten(), end.flatten(), level.tokens, level.counts)
            counts = add_counts((here * self.smoothing).flatten(0, 1), *table).view_as(here)
            here.copy_(counts / (total + self.smoothing)[..., None])
        return found

    def _probability_of(self, tokens: Tensor, wanted: Tensor) -> Tensor:
        found = torch.full(tokens.shape, 1 / self.d_vocab)
        for k, level in enumerate(self._levels[: tokens.shape[1] + 1]):
            here, goal = found[:, max(k - 1, 0) :], wanted[:, max(k - 1, 0) :]
            place, start, end, total = self._contexts(tokens, k)
            entry, there = look_up(level.codes, place * self.d_vocab + goal)
            count = torch.where(there & (end > start), level.counts[entry], 0)
            here.copy_((count + self.smoothing * here) / (total + self.smoothing))
        return found

    def _contexts(self, tokens: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """For each k-token context: its index below level k, where its continuations start and end, and their count.

        All [batch pos-k+1]; a context that never occurred has no continuations.
        """
        windows = tokens.shape[1] - max(k - 1, 0)
        place = torch.zeros(len(tokens), windows, dtype=torch.long)
        known = torch.ones_like(place, dtype=torch.bool)
        for j in range(k):
            place, there = look_up(self._levels[j].codes, place * self.d_vocab + tokens[:, j : j + windows])
            known &= there
        level = self._levels[k]
        start = torch.searchsorted(level.codes, place * self.d_vocab)
        end = torch.where(known, torch.searchsorted(level.codes, (place + 1) * self.d_vocab), start)
        return place, start, end, level.sums[end] - level.sums[start]


class Unigram(NGram):
    """The frequency of each token, whatever the context."""

    def __init__(self, d_vocab: int, smoothing: float = 1.0) -> None:
        super().__init__(d_vocab, 1, smoothing)


class Bigram(NGram):
    """The next token given the current one, interpolated with token frequencies."""

    def __init__(self, d_vocab: int, smoothing: float = 1.0) -> None:
        super().__init__(d_vocab, 2, smoothing)
