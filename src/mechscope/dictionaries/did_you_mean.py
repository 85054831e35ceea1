"""The nearest names to one that is not known, as the end of an error. Loads no torch."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable


def did_you_mean(name: str, known: Iterable[str], *, n: int = 1, show: Callable[[str], str] = str) -> str:
    """A question, with a space before it; nothing where no name is near.

    >>> did_you_mean("topkk", ["relu", "topk"])
    ' Did you mean topk?'
    """
    near = difflib.get_close_matches(name, list(known), n=n)
    return f" Did you mean {' or '.join(map(show, near))}?" if near else ""
