"""Attention heads and their names, as steps 03 and 04 write them."""

from __future__ import annotations

Head = tuple[int, int]
"""(layer, head), both counted from 0: 9.6 is head 6 of layer 9."""


def head_name(head: Head) -> str:
    """The name of a head as papers write it.

    >>> head_name((9, 6))
    '9.6'
    """
    return f"{head[0]}.{head[1]}"
