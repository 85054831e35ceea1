"""Sites are read while the model runs, and attention sinks are left out."""

import dataclasses

import numpy as np
import pytest
import torch

from mechscope import load_model
from mechscope.neuroscope.sequences import Cutter, in_batches
from mechscope.neuroscope.settings import HarvestSettings
from mechscope.neuroscope.shards import Shard
from mechscope.neuroscope.sinks import calibrated
from mechscope.neuroscope.site_reader import SiteReader, steady_arithmetic
from mechscope.neuroscope.sites import find_sites
from tests.neuroscope.harvests import SETTINGS, Chosen
from tests.neuroscope.harvests import model as digits_model

TEXT = "Once upon a time there was a little dog who liked to run in the park with a red ball. " * 3


@pytest.fixture(scope="module")
def model():
    return load_model("mini-gelu-2l")


def settings_for(model, **changes):
    return HarvestSettings(
        context=20, batch_tokens=80, massive_limits=(None,) * model.cfg.n_layers, **changes
    )


def read(model, sites, settings, batch):
    found = {}
    SiteReader(model, sites, settings).read(batch, lambda site, *read: found.update({site.name: read}))
    return found


def test_what_is_read_equals_the_models_cache_despite_padding(model):
    settings = settings_for(model)
    sites = find_sites(model, ["mlp", "attn.entropy", "attn0.norm"])
    sequences = Cutter(model, settings).sequences(TEXT)
    assert len({len(sequence) for sequence in sequences}) == 2
    for batch in in_batches(sequences, 1000):
        found = read(model, sites, settings, batch)
        assert list(found) == ["attn0.entropy", "attn0.norm", "mlp0", "attn1.entropy", "mlp1"]
        for row, number in enumerate(batch.numbers):
            tokens = torch.from_numpy(sequences[number])[None]
            _, cache = model.run_with_cache(tokens)
            for site in sites:
                expected = site.read({hook: cache[hook] for hook in site.hooks})[0]
                values, counts = found[site.name]
                assert torch.allclose(values[row, : len(expected)], expected, atol=1e-5)
                assert counts[row].tolist() == [
                    0 < place < len(expected) for place in range(len(counts[row]))
                ]


def test_nothing_runs_after_the_last_site_and_no_listener_stays(model):
    seen = []
    settings = settings_for(model)
    batch = next(in_batches(Cutter(model, settings).sequences(TEXT), 40))
    later = ["blocks.0.hook_mlp_out", "blocks.1.hook_resid_pre", "blocks.0.mlp.hook_pre"]
    with model.hooks([(later, lambda activation, hook: seen.append(hook.name))]):
        read(model, find_sites(model, ["mlp0"]), settings, batch)
    assert seen == ["blocks.0.mlp.hook_pre"]
    assert not model.list_hooks()


def test_sites_after_the_last_block_are_read_too(model):
    settings = settings_for(model)
    batch = next(in_batches(Cutter(model, settings).sequences(TEXT), 40))
    site = Chosen(1, True, lambda tokens: tokens)
    site.hooks = ("ln_final.hook_normalized",)
    site.read = lambda activations: activations["ln_final.hook_normalized"]
    assert site.block is None
    _, cache = model.run_with_cache(batch.tokens, attention_mask=batch.real)
    found = read(model, [site], settings, batch)["chosen"][0]
    assert torch.allclose(found[batch.real], cache["ln_final.hook_normalized"][batch.real], atol=1e-5)


def test_a_token_that_is_massive_once_stays_left_out_in_later_blocks(model):
    settings = settings_for(model)
    sequences = Cutter(model, settings).sequences(TEXT)
    batch = next(in_batches(sequences, 60))
    _, cache = model.run_with_cache(batch.tokens, attention_mask=batch.real)
    lengths = [cache["resid_pre", block].norm(dim=-1) for block in range(2)]
    limits = tuple(float(length[batch.real].quantile(0.8)) for length in lengths)
    found = read(
        model, find_sites(model, ["mlp"]), dataclasses.replace(settings, massive_limits=limits), batch
    )
    usual = batch.real.clone()
    usual[:, 0] = False
    first = usual & (lengths[0] <= limits[0])
    assert torch.equal(found["mlp0"][1], first)
    assert torch.equal(found["mlp1"][1], first & (lengths[1] <= limits[1]))
    assert first.sum() < usual.sum()


def test_limits_are_measured_once_on_tokens_that_count(model):
    shard = Shard(0, (("a", TEXT), ("b", TEXT[5:])))
    settings = HarvestSettings(context=20)
    measured = calibrated(model, settings, shard)
    assert len(measured.massive_limits) == 2
    assert calibrated(model, measured, Shard(1, (("c", "other text"),))) is measured
    cutter = Cutter(model, settings)
    sequences = [sequence for _, text in shard.documents for sequence in cutter.sequences(text)]
    for block, limit in enumerate(measured.massive_limits):
        name = f"blocks.{block}.hook_resid_pre"
        lengths = [
            model.run_with_cache(torch.from_numpy(one)[None])[1][name][0, 1:].norm(dim=-1)
            for one in sequences
        ]
        assert limit == pytest.approx(25 * float(torch.cat(lengths).median()), rel=1e-4)
    assert calibrated(model, HarvestSettings(leave_out_sinks=False), shard).massive_limits == (None, None)
    with pytest.raises(ValueError, match="has no text of more than one token"):
        calibrated(model, settings, Shard(4, (("empty", ""),)))


def test_documents_are_cut_at_the_context_and_the_models_limit(model):
    small = digits_model()
    cutter = Cutter(small, SETTINGS)
    text = " ".join(map(str, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]))
    assert [one.tolist() for one in cutter.sequences(text)] == [[0, 1, 2, 3, 4, 5, 6, 7, 8], [0, 9, 10]]
    assert cutter.sequences("") == []
    assert Cutter(small, HarvestSettings(context=1000)).width == small.cfg.n_ctx - 1
    with pytest.raises(ValueError, match="context is 1, which leaves no room for text"):
        Cutter(small, HarvestSettings(context=1))
    small.tokenizer = None
    with pytest.raises(ValueError, match="has no tokenizer"):
        Cutter(small, SETTINGS)


def test_batches_have_every_sequence_once_and_little_padding():
    sequences = [np.arange(1, length + 1) for length in (2, 9, 9, 3, 2, 9)]
    batches = list(in_batches(sequences, 27))
    assert [batch.numbers for batch in batches] == [(1, 2, 5), (3, 0, 4)]
    assert batches[1].tokens.tolist() == [[1, 2, 3], [1, 2, 0], [1, 2, 0]]
    assert batches[1].real.tolist() == [[True, True, True], [True, True, False], [True, True, False]]


def test_a_batch_of_short_sequences_has_more_of_them_and_a_long_one_is_alone():
    sequences = [np.arange(length) for length in (30, 2, 2, 2, 2, 5)]
    assert [batch.numbers for batch in in_batches(sequences, 10)] == [(0,), (5, 1), (2, 3, 4)]


def test_arithmetic_is_restored_after_an_error():
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError, match="stop"), steady_arithmetic(2):
        assert torch.get_num_threads() == 2
        assert not torch.tensor(1e-38) * 0.1
        raise RuntimeError("stop")
    assert torch.get_num_threads() == before
    assert torch.tensor(1e-38) * 0.1
