"""Put characters together whose bytes are in several tokens, so that words and expressions with them can be found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

BROKEN = "\ufffd"
"""What stands for bytes that are no character by themselves."""
LONGEST = 12
"""The most tokens that are put together: a few characters of up to four bytes each."""


def whole_characters(tokenizer: Any, ids: Sequence[int], texts: Sequence[str]) -> tuple[str, ...]:
    """The texts of tokens, with characters that are divided between tokens at the first of these.

    The others of them become empty, so that all texts together are the text.

    >>> from mechscope import load_model
    >>> tokenizer = load_model("mini-gelu-1l").tokenizer
    >>> ids = tokenizer.encode("café.", add_special_tokens=False)
    >>> texts = [tokenizer.decode([token]) for token in ids]
    >>> texts
    ['c', 'a', 'f', '\ufffd', '\ufffd', '.']
    >>> whole_characters(tokenizer, ids, texts)
    ('c', 'a', 'f', 'é', '', '.')

    Args:
        ids: the tokens of a text, in order.
        texts: each of them as text.
    """
    found, start = list(texts), 0
    while start < len(ids):
        start += _put_together(tokenizer, ids, found, start) if BROKEN in texts[start] else 1
    return tuple(found)


def _put_together(tokenizer: Any, ids: Sequence[int], texts: list[str], start: int) -> int:
    """Put characters together that begin in a token; returns how many tokens they take, or 1 if they never end."""
    for size in range(2, min(LONGEST, len(ids) - start) + 1):
        text = tokenizer.decode(list(ids[start : start + size]), clean_up_tokenization_spaces=False)
        if BROKEN not in text:
            texts[start : start + size] = [text] + [""] * (size - 1)
            return size
    return 1
