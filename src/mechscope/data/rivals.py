"""All next-token baselines, fitted to the same text."""

from __future__ import annotations

import torch
from jaxtyping import Int

from mechscope.data.copying import Copying, Induction, RepeatLast
from mechscope.data.ngrams import Bigram, NGram, Unigram
from mechscope.data.rival import Rival
from mechscope.data.skip_trigrams import SkipTrigram


def make_rivals(d_vocab: int) -> dict[str, Rival]:
    """Name → one unfitted baseline of each kind, from the unigram to induction."""
    rivals = [
        Unigram(d_vocab),
        Bigram(d_vocab),
        NGram(d_vocab, 3),
        SkipTrigram(d_vocab),
        RepeatLast(d_vocab),
        Copying(d_vocab),
        Induction(d_vocab),
    ]
    return {rival.name: rival for rival in rivals}


def fit_rivals(d_vocab: int, tokens: Int[torch.Tensor, "batch pos"]) -> dict[str, Rival]:
    """All baselines, fitted to these sequences.

    Raises:
        ValueError: for tokens outside the vocabulary, or sequences of fewer than three tokens.
    """
    return {name: rival.fit(tokens) for name, rival in make_rivals(d_vocab).items()}
