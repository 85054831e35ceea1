"""However shards are grouped and in whatever order they are merged, the bytes are the same."""

from __future__ import annotations

import dataclasses
from functools import cache, reduce

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mechscope.neuroscope._texts import drawn
from mechscope.neuroscope.merge import merge
from mechscope.neuroscope.state import Extremes, HarvestState
from tests.neuroscope.brute_force import contexts, counted
from tests.neuroscope.harvests import (
    SETTINGS,
    Chosen,
    harvest_all,
    model,
    random_shards,
    random_site,
    read_all,
)
from tests.neuroscope.test_harvest_shard import kept

SHARDS = 7


def real_numbers() -> Chosen:
    """Activations whose sums depend on the order in which they are added."""
    table = torch.randn(12, 16, 2, generator=torch.Generator().manual_seed(3))
    return Chosen(2, True, lambda tokens: (5 * table[tokens, torch.arange(tokens.shape[1])]).exp(), "real")


@cache
def states() -> tuple[HarvestState, ...]:
    sites = [
        random_site(4, signed=True, name="ties"),
        random_site(4, signed=False, name="sparse"),
        real_numbers(),
    ]
    return tuple(harvest_all(model(), sites, SETTINGS, random_shards(SHARDS, 6)))


@cache
def in_order() -> bytes:
    return reduce(merge, states()).to_bytes()


@given(
    order=st.permutations(range(SHARDS)),
    choices=st.lists(st.integers(0, 99), min_size=SHARDS, max_size=SHARDS),
)
@settings(max_examples=25)
def test_any_order_and_any_grouping_give_the_same_bytes(order, choices):
    parts = [states()[index] for index in order]
    while len(parts) > 1:
        # Merge any two of the parts.
        first = parts.pop(choices[len(parts) - 1] % len(parts))
        second = parts.pop(choices[-1] % len(parts))
        parts.append(merge(first, second))
    assert parts[0].to_bytes() == in_order()


def test_sums_would_depend_on_the_order_without_the_tree():
    sums = [state.sites["real"].sums[0] for state in states()]
    assert not torch.equal(sum(sums[1:], sums[0]), sum(reversed(sums[:-1]), sums[-1]))


@given(cut=st.integers(1, SHARDS - 1))
@settings(max_examples=6)
def test_states_survive_a_file_between_merges(cut):
    first, second = (
        HarvestState.from_bytes(reduce(merge, part).to_bytes()) for part in (states()[:cut], states()[cut:])
    )
    assert merge(second, first).to_bytes() == in_order()


def test_a_merged_state_has_what_brute_force_finds_in_all_shards():
    shards, site = random_shards(SHARDS, 6), random_site(4, signed=True)
    merged = reduce(merge, harvest_all(model(), [site], SETTINGS, shards))
    read = read_all(model(), site, SETTINGS, shards)
    found = merged.sites["chosen"]
    assert isinstance(found.low, Extremes)
    for unit in range(site.units):
        assert kept(found.top, unit) == contexts(read, unit, SETTINGS, 1, one_sided=False)
        assert kept(found.low, unit) == contexts(read, unit, SETTINGS, -1, one_sided=False)
    values = counted(read)
    moments = np.stack([values**power for power in (1, 2, 3, 4)]).mean(1)
    np.testing.assert_allclose(found.moments().numpy(), moments, rtol=1e-6, atol=1e-6)
    assert torch.equal(found.firing, torch.from_numpy((values > 0).sum(0)))
    assert found.histogram.sum(1).tolist() == [len(values)] * site.units
    assert merged.shards.tolist() == [[0, SHARDS]]
    assert merged.nodes.tolist() == [[2, 0], [1, 2], [0, 6]]
    assert merged.documents == SHARDS * 6


def test_every_context_and_drawn_sequence_is_kept_and_nothing_else():
    merged = reduce(merge, states())
    referred = {
        int(sequence)
        for site in merged.sites.values()
        for extremes in (site.top, site.low)
        if extremes is not None
        for sequence in extremes.sequence.flatten()
        if sequence >= 0
    }
    assert set(merged.sequences.ids.tolist()) == referred | set(merged.sample.tolist())
    assert len(merged.sample) == SETTINGS.sample < merged.sequences_read
    # The bound does not depend on the corpus.
    most = sum(site.units * (SETTINGS.top + SETTINGS.low) for site in merged.sites.values()) + SETTINGS.sample
    assert len(merged.sequences) <= most
    shards = random_shards(SHARDS, 6)
    read = {one.id: one for one in read_all(model(), real_numbers(), SETTINGS, shards)}
    for sequence, document in zip(merged.sequences.ids.tolist(), merged.sequences.documents, strict=True):
        assert merged.sequences.tokens_of(sequence).tolist() == read[sequence].tokens
        assert document == read[sequence].document
    with pytest.raises(KeyError, match="there is no sequence 99"):
        merged.sequences.tokens_of(99)


def test_a_long_corpus_makes_no_larger_state_than_its_contexts_need():
    few = dataclasses.replace(SETTINGS, top=2, low=1, sample=3)
    sites = [random_site(2, signed=True)]
    merged = reduce(merge, harvest_all(model(), sites, few, random_shards(4, 40)))
    assert merged.sequences_read > 100
    assert len(merged.sequences) <= 2 * (2 + 1) + 3
    assert len(merged.nodes) == 1


def test_the_sample_depends_on_the_seed_and_is_spread_over_the_corpus():
    shards, sites = random_shards(4, 30), [random_site(1, signed=False)]
    samples = []
    for seed in (0, 1):
        chosen = dataclasses.replace(SETTINGS, seed=seed, sample=40)
        merged = reduce(merge, harvest_all(model(), sites, chosen, shards))
        samples.append(merged.sample.tolist())
        assert {sequence >> 24 for sequence in samples[-1]} == {0, 1, 2, 3}
    assert set(samples[0]) != set(samples[1])


def test_no_sequence_is_drawn_whatever_the_seed():
    ids = np.arange(1000)
    samples = [drawn(ids, dataclasses.replace(SETTINGS, seed=seed, sample=100)) for seed in range(40)]
    times = np.bincount(np.concatenate(samples), minlength=1000)
    # The first sequence, whose number is 0, like any other: each is drawn 4 times of 40 on average.
    assert times[0] < 15
    assert times.max() < 20
    assert 0 not in samples[0], "the default seed does not choose the first sequence of a corpus"


def test_a_shard_cannot_be_merged_twice():
    one = merge(states()[0], states()[1])
    with pytest.raises(ValueError, match="shard 1 is in both states: its tokens would count twice"):
        merge(one, merge(states()[2], states()[1]))
    with pytest.raises(ValueError, match="shard 0 is in both states, and 1 more"):
        merge(one, one)


def test_states_of_different_harvests_cannot_be_merged():
    one, other = states()[:2]
    with pytest.raises(ValueError, match=r"different settings cannot be merged: top \(4 and 5\)"):
        merge(one, dataclasses.replace(other, settings=dataclasses.replace(SETTINGS, top=5)))
    with pytest.raises(ValueError, match="one has ties, sparse, real, the other ties"):
        merge(one, dataclasses.replace(other, sites={"ties": other.sites["ties"]}))
