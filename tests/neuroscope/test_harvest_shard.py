"""A harvest is compared, unit by unit, with what the plainest computation finds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from mechscope.model.encoder import HookedEncoder
from mechscope.neuroscope.bins import bin_edges
from mechscope.neuroscope.harvest_shard import harvest_shard
from mechscope.neuroscope.settings import HarvestSettings
from mechscope.neuroscope.shards import Shard
from mechscope.neuroscope.sinks import calibrated
from mechscope.neuroscope.sites import find_sites
from mechscope.neuroscope.state import Extremes, HarvestState
from tests.neuroscope.brute_force import Found, contexts, counted
from tests.neuroscope.harvests import (
    SETTINGS,
    Chosen,
    Digits,
    harvest_all,
    model,
    random_shards,
    random_site,
    read_all,
)


def kept(extremes: Extremes, unit: int) -> list[Found]:
    return [
        Found(
            float(extremes.value[unit, rank]),
            int(extremes.sequence[unit, rank]),
            int(extremes.position[unit, rank]),
            tuple(extremes.window[unit, rank].tolist()),
        )
        for rank in range(extremes.ranks)
        if extremes.sequence[unit, rank] >= 0
    ]


@pytest.mark.parametrize("signed", [False, True], ids=["one-sided", "signed"])
@pytest.mark.parametrize("begin", [False, True], ids=["without a begin token", "with a begin token"])
@pytest.mark.parametrize("batch_tokens", [1, 27, 500])
def test_contexts_are_those_of_brute_force(signed: bool, begin: bool, batch_tokens: int) -> None:
    site, shards, small = random_site(7, signed=signed), random_shards(1, 25), model(begin)
    settings = dataclasses.replace(SETTINGS, batch_tokens=batch_tokens)
    (state,) = harvest_all(small, [site], settings, shards)
    read = read_all(small, site, settings, shards)
    found = state.sites["chosen"]
    for unit in range(site.units):
        assert kept(found.top, unit) == contexts(read, unit, settings, 1, one_sided=not signed)
        if signed:
            assert found.low is not None
            assert kept(found.low, unit) == contexts(read, unit, settings, -1, one_sided=False)
    assert signed or found.low is None


@pytest.mark.parametrize(
    ("documents", "longest"), [(150, 8), (150, 12), (4, 300)], ids=["short", "mixed", "long"]
)
def test_contexts_do_not_depend_on_the_lengths_of_documents(documents: int, longest: int) -> None:
    # Documents of one sequence are ranked after every batch, long ones only when they are complete.
    site, shards, small = (
        random_site(3, signed=True, levels=40),
        random_shards(1, documents, longest=longest),
        model(),
    )
    (state,) = harvest_all(small, [site], SETTINGS, shards)
    read, found = read_all(small, site, SETTINGS, shards), state.sites["chosen"]
    assert found.low is not None
    for unit in range(site.units):
        assert kept(found.top, unit) == contexts(read, unit, SETTINGS, 1, one_sided=False)
        assert kept(found.low, unit) == contexts(read, unit, SETTINGS, -1, one_sided=False)


@pytest.mark.parametrize("leave_out_sinks", [False, True])
def test_statistics_are_those_of_brute_force(leave_out_sinks: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(12, 300, generator=generator) * torch.logspace(-3, 3, 300)
    site = Chosen(300, True, lambda tokens: table[tokens] + torch.arange(tokens.shape[1])[:, None] / 7)
    settings = dataclasses.replace(SETTINGS, leave_out_sinks=leave_out_sinks)
    shards = random_shards(1, 25)
    (state,) = harvest_all(model(), [site], settings, shards)
    read = read_all(model(), site, settings, shards)
    values, found = counted(read), state.sites["chosen"]
    total = sum(len(sequence.tokens) for sequence in read)
    assert (state.documents, state.sequences_read, state.tokens) == (25, len(read), total)
    assert (found.tokens, found.left_out) == (len(values), total - len(values))
    assert (found.left_out == 0) == (not leave_out_sinks)
    assert torch.equal(found.firing, torch.from_numpy((values > 0).sum(0)))
    assert np.array_equal(found.minimum.numpy(), values.min(0).astype(np.float32))
    assert np.array_equal(found.maximum.numpy(), values.max(0).astype(np.float32))
    for power in range(4):
        scale = (np.abs(values) ** (power + 1)).sum(0)
        assert (
            np.abs(found.sums[0, power].numpy() - (values ** (power + 1)).sum(0)).max() <= 1e-5 * scale.max()
        )
        assert (np.abs(found.sums[0, power].numpy() - (values ** (power + 1)).sum(0)) <= 1e-5 * scale).all()
    rounded = values.astype(np.float16).astype(np.float64)
    edges = np.array(bin_edges())
    for unit in range(300):
        # Bins of negative numbers have their upper border: they are the mirrored bins of positive ones.
        magnitude = np.searchsorted(edges[len(edges) // 2 :], np.abs(rounded[:, unit]), side="right")
        bins = len(edges) // 2 - 1 + np.where(rounded[:, unit] >= 0, magnitude, -magnitude)
        expected = np.bincount(bins, minlength=len(edges) - 1)
        assert found.histogram[unit].tolist() == expected.tolist()


def test_documents_with_equal_contexts_give_one_context() -> None:
    site = Chosen(1, False, lambda tokens: (tokens == 5).float()[..., None] * 3)
    shard = Shard(0, (("a", "1 2 5 1"), ("b", "3 2 5 4"), ("c", "2 1 5")))
    (state,) = harvest_all(model(), [site], SETTINGS, [shard])
    # In a and b the last two tokens up to the firing one are "2 5"; the earlier document stays.
    assert [(one.sequence, one.position) for one in kept(state.sites["chosen"].top, 0)] == [(0, 3), (2, 3)]


def test_a_document_of_several_sequences_gives_its_strongest_context() -> None:
    site = Chosen(1, False, lambda tokens: tokens.float()[..., None])
    words = [1] * 30
    words[20] = 9
    (state,) = harvest_all(model(), [site], SETTINGS, [Shard(2, (("long", " ".join(map(str, words))),))])
    ((value, sequence, position),) = [
        (one.value, one.sequence, one.position) for one in kept(state.sites["chosen"].top, 0)
    ]
    # Sequences hold 8 tokens after the begin token, so the word is the fifth of the third sequence.
    assert (value, sequence, position) == (9.0, 2 * 2**24 + 2, 5)
    assert state.sequences.tokens_of(sequence).tolist() == [0, *words[16:24]]


def test_units_that_never_fire_have_no_contexts() -> None:
    site = Chosen(2, False, lambda tokens: torch.stack([tokens * 0.0, -tokens.float()], dim=-1))
    (state,) = harvest_all(model(), [site], SETTINGS, random_shards(1, 5))
    assert not kept(state.sites["chosen"].top, 0)
    assert not kept(state.sites["chosen"].top, 1)
    assert state.sites["chosen"].firing.tolist() == [0, 0]


def test_special_tokens_and_massive_activations_are_left_out_and_counted() -> None:
    small = model()
    with torch.no_grad():
        # Token 7 has a huge embedding, and no other token has.
        small.embed.W_E[7] *= 1000
    site = Chosen(1, False, lambda tokens: tokens.float()[..., None])
    settings = dataclasses.replace(SETTINGS, massive_limits=(100.0,))
    # Read after the residual stream, whose length decides.
    site.hooks = ("hook_tokens", "blocks.0.hook_attn_out")
    (state,) = harvest_all(small, [site], settings, [Shard(0, (("a", "7 2 7 3 0 4"),))])
    found = state.sites["chosen"]
    # The begin token, the second 0, and both sevens.
    assert (found.tokens, found.left_out) == (3, 4)
    assert float(found.maximum) == 4.0


def test_harvest_without_any_text_is_empty_and_readable() -> None:
    (state,) = harvest_all(
        model(), [random_site(2, signed=True)], SETTINGS, [Shard(0, (("a", ""), ("b", " ")))]
    )
    found = state.sites["chosen"]
    assert (state.documents, state.tokens, found.tokens) == (2, 0, 0)
    assert torch.isnan(found.moments()).all()
    assert HarvestState.from_bytes(state.to_bytes()).to_bytes() == state.to_bytes()


def test_same_shard_gives_same_bytes_and_another_does_not() -> None:
    one, other = random_shards(2, 6)
    site = random_site(3, signed=True)
    first, again, different = harvest_all(model(), [site], SETTINGS, [one, one, other])
    assert first.to_bytes() == again.to_bytes() != different.to_bytes()
    assert not any(tensor.is_inference() for tensor in first.to_tensors().values())


def test_threads_are_those_of_the_settings_and_restored() -> None:
    seen = list[int]()

    def activation(tokens: torch.Tensor) -> torch.Tensor:
        seen.append(torch.get_num_threads())
        return tokens.float()[..., None]

    before = torch.get_num_threads()
    settings = dataclasses.replace(SETTINGS, threads=2)
    harvest_all(model(), [Chosen(1, False, activation)], settings, random_shards(1, 3))
    assert set(seen) == {2}
    assert torch.get_num_threads() == before


def test_settings_without_limits_are_refused() -> None:
    with pytest.raises(ValueError, match=r"have not been measured: get settings from sinks\.calibrated"):
        harvest_all(model(), [random_site(1, signed=True)], HarvestSettings(), random_shards(1, 2))
    with pytest.raises(ValueError, match="limits for 3 blocks, but custom has 1"):
        settings = dataclasses.replace(SETTINGS, massive_limits=(1.0, None, 2.0))
        harvest_all(model(), [random_site(1, signed=True)], settings, random_shards(1, 2))


class EncoderTokens(Digits):
    """Digits between a 1 that begins texts and a 2 that ends them."""

    cls_token_id, sep_token_id, pad_token_id, bos_token_id = 1, 2, 0, None
    all_special_ids = (0, 1, 2)


def test_encoders_are_harvested_between_their_special_tokens() -> None:
    cfg = {
        "n_layers": 2,
        "d_model": 8,
        "n_ctx": 10,
        "d_head": 4,
        "d_vocab": 20,
        "d_mlp": 12,
        "act_fn": "gelu",
    }
    encoder = HookedEncoder({**cfg, "attention_dir": "bidirectional", "seed": 0})
    encoder.tokenizer = EncoderTokens()
    words = [3 + number % 15 for number in range(17)]
    shard = Shard(0, (("long", " ".join(map(str, words))), ("short", "5 6 7")))
    settings = calibrated(encoder, HarvestSettings(), shard)
    state = harvest_shard(encoder, find_sites(encoder, ["mlp", "attn.entropy"]), settings, shard)
    # Of ten tokens, CLS and SEP leave room for eight: sequences of 8, 8 and 1 words, and of 3.
    assert (state.sequences_read, state.tokens) == (4, 28)
    assert {(site.tokens, site.left_out) for site in state.sites.values()} == {(20, 8)}
    # The last text is padded in its batch; its activations are those of the text alone.
    (kept_sequence,) = (
        one for one in state.sequences.ids.tolist() if len(state.sequences.tokens_of(one)) == 5
    )
    _, cache = encoder.run_with_cache(state.sequences.tokens_of(kept_sequence)[None].long())
    top = state.sites["mlp1"].top
    for unit, rank in (top.sequence == kept_sequence).nonzero().tolist():
        position = int(top.position[unit, rank])
        expected = float(cache["blocks.1.mlp.hook_post"][0, position, unit])
        assert float(top.value[unit, rank]) == pytest.approx(expected, abs=1e-5)


def test_models_in_other_precisions_give_states_in_float32() -> None:
    shard = random_shards(1, 4)[0]
    for dtype in (torch.float64, torch.bfloat16):
        site = Chosen(2, True, lambda tokens, dtype=dtype: tokens[..., None].expand(-1, -1, 2).to(dtype))
        state = harvest_shard(model(), [site], SETTINGS, shard)
        assert state.sites["chosen"].maximum.dtype == torch.float32
        assert HarvestState.from_bytes(state.to_bytes()).to_bytes() == state.to_bytes()
