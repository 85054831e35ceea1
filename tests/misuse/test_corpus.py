"""Every mistake of the corpus is refused, in a sentence of ours that says what is wrong."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

import pytest

import mechscope
from tests.misuse.calls import calls
from tests.misuse.corpus import Mistake, corpus

PACKAGE = str(Path(mechscope.__file__).parent)
CORPUS = corpus()
# What Python and torch say by themselves, which tells a learner nothing.
RAW = (
    "object is not",
    "unsupported operand",
    "has no attribute",
    "not supported between",
    "missing 1 required",
)


def check(error: BaseException, says: str = "") -> None:
    """An error of ours: of a kind that callers catch, raised by this package, in a sentence."""
    assert isinstance(error, (ValueError, TypeError, KeyError, FileNotFoundError, RuntimeError)), repr(error)
    where = traceback.extract_tb(error.__traceback__)[-1].filename
    assert where.startswith(PACKAGE), f"raised in {where}: {error!r}"
    said = str(error)
    assert not any(words in said for words in RAW), said
    assert len(said) > 20, said
    assert re.search(says, said), f"{says!r} is not in: {said}"


def test_the_corpus_is_large() -> None:
    assert len(CORPUS) >= 250
    assert len({(mistake.kind, mistake.code) for mistake in CORPUS}) == len(CORPUS)


@pytest.mark.parametrize("mistake", CORPUS, ids=lambda mistake: f"{mistake.kind}: {mistake.code}")
def test_a_mistake_is_explained(mistake: Mistake) -> None:
    with pytest.raises(Exception) as raised:
        mistake.call()
    check(raised.value, mistake.says)


@pytest.mark.parametrize("name", calls())
def test_the_calls_that_are_misused_work(name: str) -> None:
    calls()[name].with_changes()
