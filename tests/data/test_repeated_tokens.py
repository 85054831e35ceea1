"""Random sequences repeat what they should, where they should, and nothing else by design."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mechscope.data.repeated_tokens import random_repeats, repeated_twice


def longest_repeat(row: list[int]) -> tuple[int, int, int]:
    """Length and both starts of the longest non-overlapping repeat."""
    best = (0, 0, 0)
    for first in range(1, len(row)):
        for second in range(first + 1, len(row)):
            length = 0
            while (
                second + length < len(row)
                and first + length < second
                and row[first + length] == row[second + length]
            ):
                length += 1
            best = max(best, (length, first, second))
    return best


@given(shortest=st.integers(4, 7), spread=st.integers(0, 3), seed=st.integers(0, 2**31))
def test_a_segment_of_the_right_length_comes_back(shortest: int, spread: int, seed: int) -> None:
    longest = shortest + spread
    # So many tokens that chance repeats are out of the question.
    tokens = random_repeats(6, 24, 10**9, shortest, longest, torch.Generator().manual_seed(seed))
    assert (tokens[:, 0] == 10**9).all()
    assert (tokens[:, 1:] < 10**9).all()
    for row in tokens.tolist():
        length, first, second = longest_repeat(row)
        assert shortest <= length <= longest
        assert first >= 1
        assert second + length <= 24


def test_gaps_vary() -> None:
    tokens = random_repeats(200, 40, 10**9, 8, 8, torch.Generator().manual_seed(0))
    gaps = {second - first for _, first, second in map(longest_repeat, tokens.tolist())}
    assert min(gaps) == 8
    assert len(gaps) > 15


def test_the_same_seed_gives_the_same_sequences() -> None:
    draw = [random_repeats(4, 20, 50, 3, 6, torch.Generator().manual_seed(7)) for _ in range(2)]
    assert draw[0].equal(draw[1])


@pytest.mark.parametrize(("shortest", "longest"), [(0, 3), (5, 4), (3, 10)])
def test_what_does_not_fit_is_refused(shortest: int, longest: int) -> None:
    with pytest.raises(ValueError, match="the longest that fits is 9"):
        random_repeats(1, 20, 5, shortest, longest, torch.Generator())


def test_a_block_twice() -> None:
    tokens = repeated_twice(3, 5, 9, torch.Generator().manual_seed(0))
    assert tokens.shape == (3, 11)
    assert tokens[:, 1:6].equal(tokens[:, 6:])
    assert (tokens[:, 0] == 9).all()
