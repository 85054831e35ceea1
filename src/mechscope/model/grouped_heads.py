"""Grouped-query attention: which query heads share a key/value head.

A model with 9 query heads and 3 key/value heads has groups of 3: query heads 3, 4 and 5 read the keys and values of
key/value head 1. There is one copy of them, so an edit of key/value head 1 reaches all three.
"""

from __future__ import annotations


def key_value_head_of(head: int, n_heads: int, n_kv_heads: int) -> int:
    """The key/value head that a query head reads.

    >>> key_value_head_of(3, n_heads=9, n_kv_heads=3)
    1
    """
    return head // (n_heads // n_kv_heads)


def query_heads_of(kv_head: int, n_heads: int, n_kv_heads: int) -> range:
    """The query heads that read a key/value head.

    >>> query_heads_of(1, n_heads=9, n_kv_heads=3)
    range(3, 6)
    """
    group = n_heads // n_kv_heads
    return range(kv_head * group, (kv_head + 1) * group)


def query_heads_in_words(kv_head: int, n_heads: int, n_kv_heads: int) -> str:
    """The query heads that read a key/value head, for labels.

    >>> query_heads_in_words(1, n_heads=9, n_kv_heads=3), query_heads_in_words(0, n_heads=4, n_kv_heads=4)
    ('heads 3–5', 'head 0')
    """
    heads = query_heads_of(kv_head, n_heads, n_kv_heads)
    return f"head {heads[0]}" if len(heads) == 1 else f"heads {heads[0]}–{heads[-1]}"


def input_of_head_in_words(layer: int, head: int, reads: str, n_heads: int, n_kv_heads: int) -> str:
    """Explain how the keys ("k") or values ("v") that a query head reads are named.

    >>> input_of_head_in_words(23, 3, "k", n_heads=9, n_kv_heads=3)
    "query head 3 reads key/value head 1, whose keys are 'a23.h1<k>' and shared by heads 3–5"
    """
    kv_head = key_value_head_of(head, n_heads, n_kv_heads)
    what = "keys" if reads == "k" else "values"
    shared = query_heads_in_words(kv_head, n_heads, n_kv_heads)
    return (
        f"query head {head} reads key/value head {kv_head}, whose {what} are 'a{layer}.h{kv_head}<{reads}>' and shared "
        f"by {shared}"
    )
