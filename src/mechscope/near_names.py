"""Suggest similar names in the error about an unknown name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable


def near_names(name: str, known: Iterable[str], *, n: int = 3, cutoff: float = 0.6) -> list[str]:
    """Up to `n` of the known names, the most similar first; the similarity (0 to 1) must be at least `cutoff`.

    >>> near_names("resid_pr", ["mlp_out", "resid_post", "resid_pre"])
    ['resid_pre', 'resid_post']
    """
    return difflib.get_close_matches(name, list(known), n=n, cutoff=cutoff)


def did_you_mean(
    name: str, known: Iterable[str], *, n: int = 1, cutoff: float = 0.6, show: Callable[[str], str] = str
) -> str:
    """The question " Did you mean …?" to add to an error; empty if no name is similar.

    Args:
        name: the unknown name.
        known: the names to suggest.
        n: the largest number of suggestions.
        cutoff: the lowest similarity.
        show: formats a name, such as `repr`.

    >>> did_you_mean("topkk", ["relu", "topk"])
    ' Did you mean topk?'
    """
    question = did_you_mean_clause(name, known, n=n, cutoff=cutoff, show=show)
    return f" D{question[1:]}" if question else ""


def did_you_mean_clause(
    name: str, known: Iterable[str], *, n: int = 1, cutoff: float = 0.6, show: Callable[[str], str] = str
) -> str:
    """The question of `did_you_mean` in lower case, for the end of a sentence.

    >>> did_you_mean_clause("resid_pr", ["mlp_out", "resid_post", "resid_pre"], n=2, show=repr)
    "did you mean 'resid_pre' or 'resid_post'?"
    """
    near = near_names(name, known, n=n, cutoff=cutoff)
    return f"did you mean {' or '.join(map(show, near))}?" if near else ""
