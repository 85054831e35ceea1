"""Baselines that copy from the context: the current token again, any earlier token, or what followed last time."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from mechscope.arguments import is_whole_number
from mechscope.data.baseline import Baseline
from mechscope.data.ngrams import Unigram

ROUNDS = 30


class _Copier(Baseline):
    """A mixture of a proposal from the context and the unigram.

    P(x) = w proposal(x) + (1 - w) unigram(x), or the unigram alone where the context proposes nothing. `fit` counts
    the unigram and, unless the weight was given, finds the most likely weight (expectation–maximisation).

    Raises:
        ValueError: for a weight outside 0 to 1.
    """

    def __init__(self, d_vocab: int, weight: float | None = None) -> None:
        super().__init__(d_vocab)
        if weight is not None and not 0 <= weight < 1:
            raise ValueError(f"the weight of a copy must be at least 0 and below 1, not {weight!r}.")
        self.given = weight
        self.weight = 0.5 if weight is None else float(weight)
        self.unigram = Unigram(d_vocab)

    def _probability_of(self, tokens: Tensor, wanted: Tensor) -> Tensor:
        proposed, there = self._proposed(tokens, wanted)
        weight = torch.where(there, self.weight, 0.0)
        return weight * proposed + (1 - weight) * self.unigram.log_probability_of(tokens, wanted).exp()

    @abstractmethod
    def _proposed(self, tokens: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """Probability of the wanted token in the proposal, and where there is a proposal, both [batch pos]."""

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
            # Keep a millionth of the weight on the unigram, so that no surprisal is infinite.
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
    """Predicts the current token again."""

    name = "repeat the last token"

    def _proposed(self, tokens: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        return (tokens == wanted).float(), torch.ones_like(tokens, dtype=torch.bool)

    def _add(self, found: Tensor, tokens: Tensor, weight: Tensor) -> None:
        found.scatter_add_(-1, tokens[..., None], weight[..., None])


class Copying(_Copier):
    """Predicts tokens by how often they occurred in the context so far, including the current one.

    Args:
        decay: weight of a token relative to the one after it: 1 weights all equally, 0.9 prefers recent ones.
    """

    name = "copying"

    def __init__(self, d_vocab: int, weight: float | None = None, decay: float = 1.0) -> None:
        super().__init__(d_vocab, weight)
        if not 0 < decay <= 1:
            raise ValueError(f"decay must be above 0 and at most 1, not {decay!r}.")
        self.decay = float(decay)

    def _shares(self, length: int) -> Tensor:
        """The weight of each earlier position in the proposal [pos earlier]."""
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
    """Predicts what followed the previous occurrence of the current token (or of the last `match` tokens).

    Raises:
        ValueError: for a match below 1.
    """

    name = "induction"

    def __init__(self, d_vocab: int, weight: float | None = None, match: int = 1) -> None:
        super().__init__(d_vocab, weight)
        if not is_whole_number(match, least=1):
            raise ValueError(
                f"match is the number of tokens that must agree and must be at least 1, not {match!r}."
            )
        self.match = int(match)

    def sources(self, tokens: Tensor) -> Tensor:
        """The position that each position copies from [batch pos]; -1 if there is no earlier match."""
        length = tokens.shape[1]
        earlier = torch.arange(length)[:, None] > torch.arange(length)
        found: list[Tensor] = []
        for row in tokens:  # [pos pos] at a time
            alike = same = row[:, None] == row
            for _ in range(self.match - 1):
                # The previous token must agree too; the first position has none.
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
