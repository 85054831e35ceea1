"""Rivals that copy from the context: the current token again, any earlier token, or what followed last time."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from mechscope.data.ngrams import Unigram
from mechscope.data.rival import Rival

ROUNDS = 30


class _Copier(Rival):
    """A proposal from the context, trusted with a weight, over the unigram.

    P(x) = w proposal(x) + (1 - w) unigram(x); where there is nothing to propose, the unigram alone. `fit` counts the
    unigram and finds the weight that makes the tokens most likely (expectation–maximisation); a weight that is given
    is kept.

    Raises:
        ValueError: for a weight outside of 0 to 1.
    """

    def __init__(self, d_vocab: int, weight: float | None = None) -> None:
        super().__init__(d_vocab)
        if weight is not None and not 0 <= weight < 1:
            raise ValueError(f"the weight of a copy is from 0 up to but not including 1, not {weight!r}.")
        self.given = weight
        self.weight = 0.5 if weight is None else float(weight)
        self.unigram = Unigram(d_vocab)

    def _probability_of(self, tokens: Tensor, wanted: Tensor) -> Tensor:
        proposed, there = self._proposed(tokens, wanted)
        weight = torch.where(there, self.weight, 0.0)
        return weight * proposed + (1 - weight) * self.unigram.log_probability_of(tokens, wanted).exp()

    @abstractmethod
    def _proposed(self, tokens: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """The proposal's probability of one wanted token a position, and where it proposes anything [batch pos]."""

    @abstractmethod
    def _add(self, found: Tensor, tokens: Tensor, weight: Tensor) -> None:
        """Add the proposals, times weight [batch pos], to probabilities [batch pos d_vocab] in place."""

    def _fit(self, tokens: Tensor) -> None:
        self.unigram.fit(tokens)
        if self.given is not None:
            return
        after = tokens[:, 1:]
        proposed, there = self._proposed(tokens[:, :-1], after)
        base = self.unigram.log_probability_of(tokens[:, :-1], after).exp()[there]
        copied, weight = proposed[there], 0.5
        for _ in range(ROUNDS if len(copied) else 0):
            # One part in a million stays with the unigram, so that no surprise is infinite.
            weight = min(float((weight * copied / (weight * copied + (1 - weight) * base)).mean()), 1 - 1e-6)
        self.weight = weight

    def _probabilities(self, tokens: Tensor) -> Tensor:
        base = self.unigram.log_probabilities(tokens[:1, :1])[0, 0].exp()
        _, there = self._proposed(tokens, tokens)
        weight = torch.where(there, self.weight, 0.0)
        found = (1 - weight)[..., None] * base
        self._add(found, tokens, weight)
        return found


class RepeatLast(_Copier):
    """The current token again."""

    name = "repeat the last token"

    def _proposed(self, tokens: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        return (tokens == wanted).float(), torch.ones_like(tokens, dtype=torch.bool)

    def _add(self, found: Tensor, tokens: Tensor, weight: Tensor) -> None:
        found.scatter_add_(-1, tokens[..., None], weight[..., None])


class Copying(_Copier):
    """Any token of the context so far, the current one included, each time it stood there counting.

    Args:
        decay: weight of a token relative to the one after it: 1 forgets nothing, 0.9 prefers the recent.
    """

    name = "copying"

    def __init__(self, d_vocab: int, weight: float | None = None, decay: float = 1.0) -> None:
        super().__init__(d_vocab, weight)
        if not 0 < decay <= 1:
            raise ValueError(f"decay is above 0 and at most 1, not {decay!r}.")
        self.decay = float(decay)

    def _shares(self, length: int) -> Tensor:
        """How much of the proposal falls to each earlier position [pos earlier]."""
        back = torch.arange(length)[:, None] - torch.arange(length)
        kept = torch.where(back >= 0, self.decay ** back.clamp(min=0).float(), 0.0)
        return kept / kept.sum(-1, keepdim=True)

    def _proposed(self, tokens: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        shares = self._shares(tokens.shape[1])
        rows = [(shares * (row == goal[:, None])).sum(-1) for row, goal in zip(tokens, wanted, strict=True)]
        return torch.stack(rows), torch.ones_like(tokens, dtype=torch.bool)

    def _add(self, found: Tensor, tokens: Tensor, weight: Tensor) -> None:
        shares = self._shares(tokens.shape[1])
        for out, row, trust in zip(found, tokens, weight, strict=True):
            out.scatter_add_(-1, row.expand(len(row), -1), shares * trust[:, None])


class Induction(_Copier):
    """What followed the last time that the current token (or the last `match` tokens) stood before.

    Raises:
        ValueError: for a match below 1.
    """

    name = "induction"

    def __init__(self, d_vocab: int, weight: float | None = None, match: int = 1) -> None:
        super().__init__(d_vocab, weight)
        if isinstance(match, bool) or not isinstance(match, int) or match < 1:
            raise ValueError(f"match is how many tokens must agree, at least 1, not {match!r}.")
        self.match = match

    def sources(self, tokens: Tensor) -> Tensor:
        """The position that each position copies from [batch pos]; -1 where nothing like it stood before."""
        length = tokens.shape[1]
        earlier = torch.arange(length)[:, None] > torch.arange(length)
        found: list[Tensor] = []
        for row in tokens:  # [pos pos] at a time
            alike = same = row[:, None] == row
            for _ in range(self.match - 1):
                # The token before must agree too; the first position has none.
                same = torch.nn.functional.pad(same, (1, 0, 1, 0))[:-1, :-1]
                alike = alike & same
            last = torch.where(alike & earlier, torch.arange(length), -1).amax(-1)
            found.append(torch.where(last >= 0, last + 1, -1))
        return torch.stack(found)

    def _proposed(self, tokens: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        where = self.sources(tokens)
        return (tokens.gather(1, where.clamp(min=0)) == wanted).float(), where >= 0

    def _add(self, found: Tensor, tokens: Tensor, weight: Tensor) -> None:
        copied = tokens.gather(1, self.sources(tokens).clamp(min=0))
        found.scatter_add_(-1, copied[..., None], weight[..., None])
