"""Tokenizers and a model for the tests of tasks: words of our own, so that nothing is needed from elsewhere."""

from __future__ import annotations

from functools import cache

from mechscope import tasks
from mechscope.data.tokenizer import Tokenizer
from mechscope.data.word_tokenizer import word_tokenizer
from mechscope.model.config import HookedTransformerConfig
from mechscope.model.transformer import HookedTransformer


@cache
def all_words() -> Tokenizer:
    """Knows every word of every task."""
    return word_tokenizer(tasks.vocabulary())


@cache
def reading_model(n_ctx: int = 64) -> HookedTransformer:
    """A small random model that reads all words."""
    cfg = HookedTransformerConfig(
        n_layers=1, d_model=16, d_head=8, n_ctx=n_ctx, d_vocab=len(all_words()), attn_only=True, seed=0
    )
    return HookedTransformer(cfg, tokenizer=all_words())
