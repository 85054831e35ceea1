"""All next-token baselines, fitted to the same text."""

from __future__ import annotations

import torch
from jaxtyping import Int

from mechscope.data.baseline import Baseline
from mechscope.data.copying import Copying, Induction, RepeatLast
from mechscope.data.ngrams import Bigram, NGram, Unigram
from mechscope.data.skip_trigrams import SkipTrigram


def make_baselines(d_vocab: int) -> dict[str, Baseline]:
    """Name → one unfitted baseline of each kind, from the unigram to induction."""
    baselines = [
        Unigram(d_vocab),
        Bigram(d_vocab),
        NGram(d_vocab, 3),
        SkipTrigram(d_vocab),
        RepeatLast(d_vocab),
        Copying(d_vocab),
        Induction(d_vocab),
    ]
    return {baseline.name: baseline for baseline in baselines}


def fit_baselines(d_vocab: int, tokens: Int[torch.Tensor, "batch pos"]) -> dict[str, Baseline]:
    """All baselines, fitted to these sequences.

    Raises:
        ValueError: for tokens outside the vocabulary, or sequences of fewer than three tokens.
    """
    return {name: baseline.fit(tokens) for name, baseline in make_baselines(d_vocab).items()}
