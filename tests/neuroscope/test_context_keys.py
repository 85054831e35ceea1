"""Keys of contexts: equal exactly where the last tokens are, also in sequences shorter than a key reaches back."""

from __future__ import annotations

import numpy as np

from mechscope.neuroscope._context_finder import context_keys


def test_keys_are_equal_where_the_last_tokens_are() -> None:
    tokens = np.random.default_rng(0).integers(0, 2, (4, 40))
    keys = context_keys(tokens, 3)
    # Before the beginning there is nothing, which is not a token.
    last = np.stack(
        [np.pad(tokens, ((0, 0), (back, 0)), constant_values=-1)[:, :40] for back in range(3)], -1
    )
    same = (last[:, :, None, None] == last[None, None]).all(-1)
    assert ((keys[:, :, None, None] == keys[None, None]) == same).all()


def test_a_batch_of_short_sequences_has_the_keys_of_a_longer_one() -> None:
    tokens = np.array([[5, 6, 7, 8], [1, 2, 3, 4]])
    for width in (1, 2, 3):
        assert (context_keys(tokens[:, :width], 8) == context_keys(tokens, 8)[:, :width]).all()
