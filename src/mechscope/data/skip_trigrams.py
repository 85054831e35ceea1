"""Skip-trigrams, "a … b → c": predict from the current token and one anywhere before it."""

from __future__ import annotations

import torch
from torch import Tensor

from mechscope.arguments import is_whole_number
from mechscope.data.baseline import Baseline, add_counts, look_up
from mechscope.data.ngrams import Bigram


class SkipTrigram(Baseline):
    """The next token given the current token b and the most informative earlier token a.

    For each occurrence of a up to `window` tokens before b,
    P(c | a … b) = (count(a … b, c) + s P(c | b)) / (count(a … b) + s), with the bigram's P(c | b) and the smoothing
    s in counts. Each position uses the a whose prediction differs most from the bigram's (Kullback–Leibler
    divergence); smoothing keeps rare pairs close to the bigram, so well-supported pairs win. Source of the idea:
    Elhage et al. 2021, "Skip-trigrams" in one-layer attention-only transformers. Memory while fitting grows with
    text length times window: about half a gigabyte for 200,000 tokens and a window of 16.

    Raises:
        ValueError: for a window below 1 or smoothing that is not positive.
    """

    name = "skip-trigram"

    def __init__(self, d_vocab: int, window: int = 16, smoothing: float = 2.0) -> None:
        super().__init__(d_vocab)
        if not is_whole_number(window, least=1):
            raise ValueError(
                f"window is how many tokens to look back and must be at least 1, not {window!r}."
            )
        if not smoothing > 0:
            raise ValueError(f"smoothing is a number of counts and must be above 0, not {smoothing!r}.")
        self.window, self.smoothing = int(window), float(smoothing)
        self.bigram = Bigram(d_vocab)

    def _fit(self, tokens: Tensor) -> None:
        if tokens.shape[1] < 3:
            raise ValueError("sequences of two tokens contain no skip-trigram; give longer ones.")
        self.bigram.fit(tokens)
        pairs: list[Tensor] = []
        following: list[Tensor] = []
        for back in range(1, min(self.window, tokens.shape[1] - 2) + 1):
            pairs.append((tokens[:, : -back - 1] * self.d_vocab + tokens[:, back:-1]).flatten())
            following.append(tokens[:, back + 1 :].flatten())
        self._pairs, place = torch.cat(pairs).unique(return_inverse=True)
        self._codes, self._counts = (place * self.d_vocab + torch.cat(following)).unique(return_counts=True)
        self._tokens, owner = self._codes % self.d_vocab, self._codes // self.d_vocab
        self._edges = torch.searchsorted(owner, torch.arange(len(self._pairs) + 1))
        self._totals = torch.zeros(len(self._pairs)).index_add_(0, owner, self._counts.float())
        self._tells = self._departures(owner)

    def _departures(self, owner: Tensor) -> Tensor:
        """Divergence of each pair's prediction from the bigram's, in nats [pair]."""
        s = self.smoothing
        current = self._pairs[owner] % self.d_vocab
        expected = self.bigram.log_probability_of(current[:, None], self._tokens[:, None])[:, 0].exp()
        seen = (self._counts + s * expected) / (self._totals[owner] + s)
        part = torch.zeros(len(self._pairs)).index_add_(0, owner, seen * (seen / expected).log())
        # Tokens that never followed the pair are only scaled down.
        left = s * (1 - torch.zeros(len(self._pairs)).index_add_(0, owner, expected)).clamp(min=0)
        scale = s / (self._totals + s)
        return part + left / (self._totals + s) * scale.log()

    def _most_telling(self, tokens: Tensor) -> Tensor:
        """The most informative pair at each position [batch pos]; -1 if no pair is informative."""
        best = torch.full(tokens.shape, -1)
        most = torch.zeros(tokens.shape)
        for back in range(1, min(self.window, tokens.shape[1] - 1) + 1):
            place, there = look_up(self._pairs, tokens[:, :-back] * self.d_vocab + tokens[:, back:])
            tells = torch.where(there, self._tells[place], 0)
            better = tells > most[:, back:]
            best[:, back:] = torch.where(better, place, best[:, back:])
            most[:, back:] = torch.where(better, tells, most[:, back:])
        return best

    def _probabilities(self, tokens: Tensor) -> Tensor:
        found = self.bigram.log_probabilities(tokens).exp()
        best = self._most_telling(tokens)
        pair = best[best >= 0]
        slices = (self._edges[pair], self._edges[pair + 1])
        counts = add_counts(found[best >= 0] * self.smoothing, *slices, self._tokens, self._counts)
        found[best >= 0] = counts / (self._totals[pair] + self.smoothing)[:, None]
        return found

    def _probability_of(self, tokens: Tensor, wanted: Tensor) -> Tensor:
        found = self.bigram.log_probability_of(tokens, wanted).exp()
        best = self._most_telling(tokens)
        pair = best[best >= 0]
        entry, there = look_up(self._codes, pair * self.d_vocab + wanted[best >= 0])
        counts = torch.where(there, self._counts[entry], 0) + self.smoothing * found[best >= 0]
        found[best >= 0] = counts / (self._totals[pair] + self.smoothing)
        return found
