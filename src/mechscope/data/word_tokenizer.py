"""A tokenizer whose vocabulary is a list of words, for small models that read generated sentences.

Text is split as in GPT-2's tokenizer: a word includes the space before it, so that joining the pieces
restores the text exactly. Numbers are split into pairs of digits (" 17", "32").
"""

from __future__ import annotations

from collections.abc import Iterable

import tokenizers
from tokenizers import Regex, decoders, models, pre_tokenizers

from mechscope.data.tokenizer import Tokenizer

BEGIN, PAD, UNKNOWN = "<bos>", "<pad>", "<unk>"
PIECE = r" ?\p{L}+| ?\p{N}{1,2}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s"


def _splitter() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Split(Regex(PIECE), behavior="isolated")


def text_pieces(texts: str | Iterable[str]) -> list[str]:
    """The distinct pieces of some texts, in order of first occurrence: a vocabulary for `word_tokenizer`.

    >>> text_pieces("Then Mary, then John.")
    ['Then', ' Mary', ',', ' then', ' John', '.']
    """
    splitter = _splitter()
    found = (
        piece
        for text in ([texts] if isinstance(texts, str) else texts)
        for piece, _ in splitter.pre_tokenize_str(text)
    )
    return list(dict.fromkeys(found))


def word_tokenizer(words: Iterable[str]) -> Tokenizer:
    """A tokenizer for exactly these pieces; ids 0, 1, 2 are `<bos>`, `<pad>`, `<unk>`, then the words in order.

    Inside a text a word includes its space (" cat"); at the start of a text it does not ("Cat"). `text_pieces`
    gives the pieces of sentences, `mechscope.tasks.vocabulary` those of a task. A BOS is added only on request; a
    piece outside the vocabulary becomes `<unk>`.

    >>> tokenizer = word_tokenizer(text_pieces("The cat sat."))
    >>> tokenizer.encode("The cat sat."), tokenizer.decode([3, 4, 5, 6])
    ([3, 4, 5, 6], 'The cat sat.')

    Raises:
        ValueError: for an empty list, a repeated word, or a word that the tokenizer would split.
    """
    listed = [words] if isinstance(words, str) else list(words)
    if not listed:
        raise ValueError("a word tokenizer needs at least one word.")
    special = (BEGIN, PAD, UNKNOWN)
    seen: set[str] = set()
    for word in listed:
        if word in seen or word in special:
            raise ValueError(f"the word {word!r} occurs twice in the vocabulary; each piece is one token.")
        if text_pieces(word) != [word]:
            raise ValueError(
                f"{word!r} is not one piece but {text_pieces(word)}; text_pieces(texts) gives the pieces of texts."
            )
        seen.add(word)
    vocab = {piece: index for index, piece in enumerate([*special, *listed])}
    backend = tokenizers.Tokenizer(models.WordLevel(vocab=vocab, unk_token=UNKNOWN))  # pyright: ignore[reportUnknownMemberType]
    backend.pre_tokenizer = _splitter()
    backend.decoder = decoders.Fuse()
    return Tokenizer(backend, bos_token=BEGIN, eos_token=BEGIN, pad_token=PAD, unk_token=UNKNOWN)
