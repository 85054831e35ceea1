"""Full-text search: which texts are found, in which order, and that signs are plain text."""

from __future__ import annotations

import pytest

from mechscope.full_text import FullText

TEXTS = FullText(
    {
        "first": ("Copying heads", "They attend to one token."),
        "second": ("Neurons", "A neuron beside copying heads, and more words than the others."),
        "third": ("Positions", "Nothing of the kind."),
    },
    weights=(10, 1),
)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("copying heads", ["first", "second"]),  # a word in a heavy field comes first
        ("COPY head", ["first", "second"]),  # inflections and capitals
        ("nothing kin", ["third"]),  # the last word is being typed
        ("attend neurons", []),  # every word must be there
        ("", []),
        ('"', []),
        ("copying NEAR( *", []),  # a word like any other
        ("positions: nothing", ["third"]),
    ],
)
def test_words_are_found(query: str, found: list[str]) -> None:
    assert TEXTS.find(query) == found


def test_a_limit_keeps_the_best() -> None:
    assert TEXTS.find("copying", limit=1) == ["first"]
