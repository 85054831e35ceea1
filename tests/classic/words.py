"""A tokenizer of whole words, made on the spot."""

from __future__ import annotations

import tokenizers

from mechscope.data.tokenizer import Tokenizer

WORDS = "the a cat dog sat on mat and Sarah Daniel Rachel gave it to in box at sea then , .".split()  # noqa: SIM905


def word_tokenizer() -> Tokenizer:
    """Words and spaces-and-words as tokens, as byte-level tokenizers have them, with <bos>, <eos> and <pad>."""
    names = ["<bos>", "<eos>", "<pad>", "<unk>", *WORDS, *(f"Ġ{word}" for word in WORDS)]
    model = tokenizers.models.WordLevel(
        {name: number for number, name in enumerate(names)}, unk_token="<unk>"
    )
    inner = tokenizers.Tokenizer(model)
    inner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = tokenizers.decoders.ByteLevel()
    return Tokenizer(inner, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>")
