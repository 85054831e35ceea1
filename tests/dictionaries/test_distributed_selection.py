"""The largest features, chosen by one rank or by several that only see their own: the same, ties included."""

from __future__ import annotations

import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mechscope.dictionaries._top_k import largest_places, top_k
from mechscope.dictionaries.distributed._selection import among_all, largest_of_batch
from mechscope.dictionaries.distributed.ranks import ALONE, Ranks


class Threads(Ranks):
    """Ranks that are threads of one process: enough for what only gathers."""

    def __init__(self, rank, size, meeting, table):
        super().__init__(rank, size)
        object.__setattr__(self, "meeting", meeting)
        object.__setattr__(self, "table", table)

    def gather(self, mine):
        self.table[self.rank] = mine
        self.meeting.wait()
        together = torch.stack(list(self.table))
        self.meeting.wait()
        return together


def on_ranks(size, action):
    """action(ranks) of each rank."""
    meeting, table, results = threading.Barrier(size), [None] * size, [None] * size

    def run(rank):
        try:
            results[rank] = action(Threads(rank, size, meeting, table))
        except BaseException:
            meeting.abort()
            raise

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def drawn(seed, batch, features, ties):
    x = torch.randn(batch, features, generator=torch.Generator().manual_seed(seed))
    return x.mul(2).round() if ties else x


def first_largest(x, k):
    """By sorting: the k largest of each row, of equal ones the first."""
    order = torch.sort(x, dim=-1, descending=True, stable=True).indices[:, :k]
    return torch.zeros_like(x, dtype=torch.bool).scatter(-1, order, True)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    batch=st.integers(1, 5),
    features=st.sampled_from([1, 7, 64, 256, 1024]),
    share=st.floats(0.0, 1.0),
    ties=st.booleans(),
)
def test_of_equal_entries_top_k_takes_the_first(seed, batch, features, share, ties):
    x = drawn(seed, batch, features, ties)
    k = max(1, int(share * features))
    found = top_k(x, k)
    chosen = torch.zeros_like(x, dtype=torch.bool).scatter(-1, found.indices, True)
    assert torch.equal(chosen, first_largest(x, k))
    assert torch.equal(x.gather(-1, found.indices), found.values)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    batch=st.integers(1, 6),
    features=st.integers(1, 8),
    size=st.integers(2, 4),
    k=st.integers(1, 12),
    ties=st.booleans(),
)
def test_ranks_choose_each_examples_largest_as_one_would(seed, batch, features, size, k, ties):
    x = drawn(seed, batch, features * size, ties)
    k = min(k, features * size)

    def choose(ranks):
        mine = x[:, ranks.share(features * size)]
        values, indices = top_k(mine, min(k, features))
        kept = among_all(values, indices, k, ranks)
        return torch.zeros_like(mine, dtype=torch.bool).scatter(-1, indices, kept)

    assert torch.equal(torch.cat(on_ranks(size, choose), -1), first_largest(x, k))


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    batch=st.integers(1, 6),
    features=st.integers(1, 8),
    size=st.integers(1, 4),
    k=st.integers(1, 40),
    ties=st.booleans(),
)
def test_ranks_choose_a_batchs_largest_as_one_would(seed, batch, features, size, k, ties):
    x = drawn(seed, batch, features * size, ties).relu()

    def choose(ranks):
        mine = x[:, ranks.share(features * size)]
        kept = torch.zeros(mine.numel(), dtype=torch.bool)
        kept[largest_of_batch(mine, k, ranks)] = True
        return kept.view_as(mine)

    several = torch.cat(on_ranks(size, choose), -1) if size > 1 else choose(ALONE)
    # Of equal ones the first feature's, and of one feature the first example's.
    expected = first_largest(x.T.reshape(1, -1), min(k, x.numel())).view(-1, batch).T
    assert torch.equal(several & (x > 0), expected & (x > 0))


def test_places_by_hand():
    x = torch.tensor([[5.0, 1.0, 3.0], [3.0, 0.0, 3.0]])
    # 5 is first. Three entries are 3: those of feature 0, then of feature 2, there in the first example.
    assert sorted(largest_places(x, 2).tolist()) == [0, 3]
    assert sorted(largest_places(x, 3).tolist()) == [0, 2, 3]
    assert sorted(largest_places(x, 5).tolist()) == [0, 1, 2, 3, 5]
    assert len(largest_places(torch.zeros(2, 3), 4)) == 4


def test_features_are_divided_evenly_or_not_at_all():
    assert [Ranks(rank, 3).share(12) for rank in range(3)] == [slice(0, 4), slice(4, 8), slice(8, 12)]
    with pytest.raises(
        ValueError, match="13 features cannot be divided evenly among 3 ranks: choose 12 or 15"
    ):
        Ranks(0, 3).share(13)
    with pytest.raises(ValueError, match="choose 3, or"):
        Ranks(0, 3).share(2)
