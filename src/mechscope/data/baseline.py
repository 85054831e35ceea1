"""Next-token baselines: simple explanations of a model's predictions, to rule out before believing in a circuit.

Every baseline computes next-token log-probabilities from tokens alone, in the shape of a model's logits, so that one
can measure how much of a model's behaviour it predicts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechscope.arguments import is_whole_number


class Baseline(ABC):
    """A baseline that predicts the next token at every position.

    Raises:
        ValueError: for a vocabulary of fewer than 2 tokens.
    """

    name: str = "baseline"
    """Readable name for titles and tables."""

    def __init__(self, d_vocab: int) -> None:
        if not is_whole_number(d_vocab, least=2):
            raise ValueError(f"d_vocab is the number of tokens and must be at least 2, not {d_vocab!r}.")
        self.d_vocab = int(d_vocab)
        self.fitted = False

    def fit(self, tokens: Int[Tensor, "batch pos"]) -> Self:
        """Fit to these sequences, discarding any earlier fit; returns the baseline itself.

        Raises:
            ValueError: for tokens that are not [batch pos], too short, or outside the vocabulary.
        """
        tokens = self._checked(tokens)
        if tokens.shape[1] < 2:
            raise ValueError("sequences of one token have no next token to learn from.")
        self._fit(tokens)
        self.fitted = True
        return self

    def log_probabilities(self, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_vocab"]:
        """Log-probability in nats of each token after each position, like a model's log-softmax.

        Raises:
            ValueError: before `fit`, or for invalid tokens.
        """
        tokens = self._checked(tokens)
        self._need_fit()
        return self._probabilities(tokens).log()

    def log_probability_of(
        self, tokens: Int[Tensor, "batch pos"], wanted: Int[Tensor, "batch pos"]
    ) -> Float[Tensor, "batch pos"]:
        """Log-probability in nats of the given next token at each position.

        The same as indexing `log_probabilities`, but without storing d_vocab numbers per position.

        Raises:
            ValueError: as `log_probabilities`, and for shapes that differ.
        """
        tokens, wanted = self._checked(tokens), self._checked(wanted)
        if tokens.shape != wanted.shape:
            raise ValueError(
                f"wanted must have one token per position, {tuple(tokens.shape)}, not {tuple(wanted.shape)}."
            )
        self._need_fit()
        return self._probability_of(tokens, wanted).log()

    def loss(self, tokens: Int[Tensor, "batch pos"], per_token: bool = False) -> Float[Tensor, ...]:
        """Mean surprisal of the next token in nats; with `per_token`, of each one [batch pos-1].

        Raises:
            ValueError: as `log_probabilities`, and for sequences of one token.
        """
        if tokens.ndim == 2 and tokens.shape[1] < 2:
            raise ValueError("sequences of one token have no next token to predict.")
        tokens = self._checked(tokens)
        surprise = -self.log_probability_of(tokens[:, :-1], tokens[:, 1:])
        return surprise if per_token else surprise.mean()

    def __repr__(self) -> str:
        return f"<{self.name} baseline over {self.d_vocab:,} tokens{'' if self.fitted else ', not fitted'}>"

    @abstractmethod
    def _fit(self, tokens: Tensor) -> None:
        """Fit to validated tokens."""

    @abstractmethod
    def _probabilities(self, tokens: Tensor) -> Tensor:
        """Probabilities [batch pos d_vocab], all above zero."""

    @abstractmethod
    def _probability_of(self, tokens: Tensor, wanted: Tensor) -> Tensor:
        """The probabilities of the wanted tokens [batch pos]."""

    def _need_fit(self) -> None:
        if not self.fitted:
            raise ValueError(f"the {self.name} baseline has not been fitted: call .fit(tokens) first.")

    def _checked(self, tokens: Tensor) -> Tensor:
        if tokens.ndim != 2 or tokens.numel() == 0 or tokens.is_floating_point():
            raise ValueError(
                f"a baseline needs integer tokens [batch pos], not {tuple(tokens.shape)} of {tokens.dtype}."
            )
        low, high = int(tokens.min()), int(tokens.max())
        if low < 0 or high >= self.d_vocab:
            raise ValueError(
                f"tokens range from {low} to {high}, but this baseline's vocabulary is 0 to {self.d_vocab - 1}."
            )
        return tokens.long().cpu()


def add_counts(dense: Tensor, starts: Tensor, ends: Tensor, tokens: Tensor, counts: Tensor) -> Tensor:
    """Add to row i of `dense` [row d_vocab] the counts of the slice starts[i]:ends[i] of a sorted table.

    Args:
        tokens, counts: the table's columns: each token and its count.
    """
    lengths = ends - starts
    rows = torch.repeat_interleave(torch.arange(len(starts)), lengths)
    # Offsets 0, 1, 2 … within each row.
    steps = torch.arange(len(rows)) - torch.repeat_interleave(lengths.cumsum(0) - lengths, lengths)
    entries = starts[rows] + steps
    return dense.index_put_((rows, tokens[entries]), counts[entries].to(dense), accumulate=True)


def look_up(codes: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """The index of each wanted code in sorted codes, and whether it is present."""
    place = torch.searchsorted(codes, wanted).clamp(max=len(codes) - 1)
    return place, codes[place] == wanted
