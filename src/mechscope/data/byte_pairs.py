"""Train a byte-level BPE tokenizer, which can encode and decode any text however small its vocabulary is."""

from __future__ import annotations

from collections.abc import Iterable

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

from mechscope.data.tokenizer import Tokenizer

BOS = "<|bos|>"
"""The first token of every text, with id 0. Since it also marks where the previous text ends, it doubles as EOS."""
BYTES = 256


def train_byte_pairs(texts: Iterable[str], d_vocab: int) -> Tokenizer:
    """A tokenizer of `d_vocab` tokens: a BOS, the 256 bytes, and the most frequent pairs in the texts.

    Encoding prepends the BOS unless special tokens are turned off. Source: Sennrich et al. (2016), on bytes.

    Raises:
        ValueError: if `d_vocab` has no room for the bytes and the BOS, or there is too little text for so many tokens.
    """
    if d_vocab <= BYTES:
        raise ValueError(f"a byte-level tokenizer needs at least {BYTES + 1} tokens, not {d_vocab}.")
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    backend.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(
        vocab_size=d_vocab,
        special_tokens=[BOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    if (got := backend.get_vocab_size()) != d_vocab:
        raise ValueError(f"the texts have enough pairs for {got} tokens, not for {d_vocab}; give more text.")
    backend.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
        single=f"{BOS} $A", special_tokens=[(BOS, backend.token_to_id(BOS))]
    )
    return Tokenizer(backend, bos_token=BOS, eos_token=BOS, pad_token=BOS)
