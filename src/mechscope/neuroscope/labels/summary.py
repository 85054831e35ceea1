"""How many labels a unit has, and how many of them hold, without saying what they are."""

from __future__ import annotations

from collections.abc import Sequence

_WORDS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_ALONE = {
    "": "not tested",
    "holds": "it holds",
    "holds in part": "it holds in part",
    "does not hold": "it does not hold",
    "cannot tell": "the test cannot tell whether it holds",
}


def labels_in_words(verdicts: Sequence[str]) -> str:
    """The labels of a unit in a phrase.

    Args:
        verdicts: the verdict on each label; empty for one that was not tested.

    >>> labels_in_words(["holds", "", "does not hold"]), labels_in_words(["holds in part"])
    ('3 labels; one holds', '1 label; it holds in part')
    >>> labels_in_words(["holds", "holds", "holds in part"]), labels_in_words(["", ""])
    ('3 labels; two hold, one holds in part', '2 labels; not tested')
    """
    if len(verdicts) == 1:
        return f"1 label; {_ALONE[verdicts[0]]}"
    parts = [
        f"{_WORDS[number] if number < len(_WORDS) else number} {'holds' if number == 1 else 'hold'}{how}"
        for verdict, how in (("holds", ""), ("holds in part", " in part"))
        if (number := list(verdicts).count(verdict))
    ]
    return f"{len(verdicts)} labels; {', '.join(parts) or ('none holds' if any(verdicts) else 'not tested')}"
