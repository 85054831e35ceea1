"""Streams: every activation once a pass, in another order each time, and the same again after a restart."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from mechscope.dictionaries._seeding import seeded
from mechscope.dictionaries.model_stream import ModelStream
from mechscope.dictionaries.stream import Batch, GeneratorStream, TensorStream, estimate_scale, scale_by_layer
from mechscope.model.config import HookedTransformerConfig
from mechscope.model.transformer import HookedTransformer


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return HookedTransformer(
        HookedTransformerConfig(
            n_layers=2,
            d_model=12,
            n_ctx=10,
            d_head=4,
            n_heads=3,
            d_mlp=20,
            d_vocab=30,
            act_fn="relu",
            device="cpu",
        )
    )


@pytest.fixture(scope="module")
def tokens():
    return torch.randint(0, 30, (23, 10), generator=torch.Generator().manual_seed(1))


def rows(batches):
    return {tuple(row) for batch in batches for row in batch.x.tolist()}


def distances(x, y):
    # The faster way of torch.cdist loses half of the digits.
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def test_a_tensor_is_seen_once_a_pass_in_new_orders():
    x = torch.arange(20.0).view(10, 2)
    stream = TensorStream(x, batch_size=5, seed=3)
    first, second = [next(stream), next(stream)], [next(stream), next(stream)]
    assert rows(first) == rows(second) == rows([type(first[0])(x)])
    assert first[0].x.tolist() != second[0].x.tolist()
    other = TensorStream(x, batch_size=5, seed=4)
    assert next(other).x.tolist() != first[0].x.tolist()


def make(kind, model, tokens):
    if kind == "tensor":
        x = torch.randn(53, 4, generator=torch.Generator().manual_seed(0))
        return TensorStream(x, x[:, :2], batch_size=10, seed=5)
    if kind == "generator":
        return GeneratorStream(lambda n, g: torch.randn(n, 4, generator=g), batch_size=10, seed=5)
    return ModelStream(
        model,
        tokens,
        "blocks.0.hook_resid_post",
        batch_size=16,
        buffer_size=80,
        target_hook_name="blocks.1.hook_mlp_out",
        skip_first=0,
        seed=5,
    )


@pytest.mark.parametrize("kind", ["tensor", "generator", "model"])
@pytest.mark.parametrize("before", [0, 3, 17])
def test_a_restarted_stream_goes_on_where_it_was(kind, before, model, tokens):
    stream = make(kind, model, tokens)
    for _ in range(before):
        next(stream)
    state = stream.state_dict()
    peeked = stream.peek(5).x
    expected = [next(stream) for _ in range(20)]
    again = make(kind, model, tokens)
    again.load_state_dict(state)
    assert torch.equal(again.peek(5).x, peeked)
    for batch in expected:
        here = next(again)
        assert torch.equal(here.x, batch.x)
        assert (here.target is None) == (batch.target is None)
        if batch.target is not None:
            assert torch.equal(here.target, batch.target)


def test_a_model_stream_gives_every_activation_with_its_target(model, tokens):
    stream = make("model", model, tokens)
    assert (stream.d_in, stream.d_out, stream.blocks()) == (12, 12, 3)
    _, cache = model.run_with_cache(tokens)
    x, written = cache["blocks.0.hook_resid_post"].flatten(0, 1), cache["blocks.1.hook_mlp_out"].flatten(0, 1)
    # 8 rows a block: 80, 80 and 70 activations, so 5 + 5 + 4 batches of 16 a pass.
    seen = set()
    for _ in range(14):
        batch = next(stream)
        distance, where = distances(batch.x, x).min(1)
        assert float(distance.max()) < 1e-4
        assert_close(batch.target, written[where], rtol=1e-4, atol=1e-4)
        seen |= set(where.tolist())
    # Equal tokens at the first position have equal activations; apart from these only 6 did not fit a batch.
    assert len(seen) >= len({tuple(row) for row in x.tolist()}) - 6 > 150
    assert stream.state_dict()["epoch"] == 0
    next(stream)
    assert stream.state_dict()["epoch"] == 1


def test_rows_of_a_block_are_mixed(model, tokens):
    stream = ModelStream(model, tokens, "hook_embed", batch_size=20, buffer_size=200)
    _, cache = model.run_with_cache(tokens, names_filter="hook_embed")
    by_row = [{tuple(v.tolist()) for v in row} for row in cache["hook_embed"]]
    batch = next(stream)
    touched = sum(any(tuple(v.tolist()) in row for v in batch.x) for row in by_row)
    assert touched > 10


def test_first_tokens_are_left_out_by_default_after_padding_on_the_left(model, tokens):
    mask = torch.ones_like(tokens, dtype=torch.bool)
    mask[:9, :4] = False
    sizes = {"batch_size": 10, "mask": mask}
    by_default = ModelStream(model, tokens, "blocks.0.hook_resid_post", buffer_size=171, **sizes)
    everything = ModelStream(
        model, tokens, "blocks.0.hook_resid_post", buffer_size=194, skip_first=0, **sizes
    )
    _, cache = model.run_with_cache(tokens, attention_mask=mask)
    x = cache["blocks.0.hook_resid_post"]
    without = mask.clone()
    without[:9, 4] = without[9:, 0] = False
    for stream, used in ((by_default, without), (everything, mask)):
        seen = stream.read_block(0, 0).x
        order = torch.randperm(23, generator=seeded(0, 2, 0))
        assert_close(seen, torch.cat([x[row][used[row]] for row in order]), rtol=1e-4, atol=1e-5)
    assert by_default.metadata() == {"skip_first": 1} and everything.metadata() == {"skip_first": 0}


def test_masked_and_first_positions_are_left_out(model, tokens):
    mask = torch.ones_like(tokens, dtype=torch.bool)
    mask[:, 7:] = False
    stream = ModelStream(
        model, tokens, "blocks.1.hook_resid_pre", batch_size=12, buffer_size=24, mask=mask, skip_first=1
    )
    _, cache = model.run_with_cache(tokens)
    x = cache["blocks.1.hook_resid_pre"]
    left_out = torch.cat([x[:, :1], x[:, 7:]], 1).flatten(0, 1)
    for _ in range(10):
        batch = next(stream).x
        assert float(distances(batch, x[:, 1:7].flatten(0, 1)).min(1).values.max()) < 1e-4
        assert float(distances(batch, left_out).min()) > 1e-2


def test_heads_and_layers_lie_side_by_side(model, tokens):
    heads = ModelStream(model, tokens, "blocks.0.attn.hook_z", batch_size=10, buffer_size=230, skip_first=0)
    layers = ModelStream(
        model,
        tokens,
        ["blocks.0.hook_resid_post", "blocks.1.hook_resid_post"],
        batch_size=10,
        buffer_size=230,
        skip_first=0,
    )
    assert heads.d_in == 12 and layers.d_in == 24
    _, cache = model.run_with_cache(tokens)
    order = torch.randperm(23, generator=seeded(0, 2, 0))
    assert_close(heads.read_block(0, 0).x, cache["blocks.0.attn.hook_z"][order].flatten(2).flatten(0, 1))
    both = torch.cat([cache["blocks.0.hook_resid_post"], cache["blocks.1.hook_resid_post"]], -1)
    assert_close(layers.read_block(0, 0).x, both[order].flatten(0, 1))


def test_a_stream_needs_blocks_no_further_than_it_reads(model, tokens):
    seen = []
    model.blocks[1].hook_resid_pre.add_hook(lambda a, hook: seen.append(1))
    try:
        next(ModelStream(model, tokens, "blocks.0.hook_resid_post", batch_size=10, buffer_size=100))
    finally:
        model.reset_hooks()
    assert not seen


def test_what_no_stream_can_give_is_an_error(model, tokens):
    sizes = {"batch_size": 16, "buffer_size": 80}
    with pytest.raises(KeyError, match=r"nearest names are .*blocks.0.hook_resid_post"):
        ModelStream(model, tokens, "blocks.0.hook_resid_pots", **sizes)
    with pytest.raises(
        ValueError,
        match=r"207 activations \(skip_first=1 .*\), fewer than the buffer of 1000: give",
    ):
        ModelStream(model, tokens, "hook_embed", batch_size=16, buffer_size=1000)
    with pytest.raises(ValueError, match="holds no batch"):
        ModelStream(model, tokens, "hook_embed", batch_size=16, buffer_size=8)
    with pytest.raises(ValueError, match="make it larger"):
        ModelStream(model, tokens, "hook_embed", batch_size=16, buffer_size=17)
    with pytest.raises(ValueError, match="one vector for each"):
        ModelStream(model, tokens, "blocks.0.attn.hook_pattern", **sizes)
    with pytest.raises(ValueError, match="leaves no position"):
        ModelStream(model, tokens, "hook_embed", **sizes, skip_first=10)
    with pytest.raises(ValueError, match="attention_mask has shape"):
        ModelStream(model, tokens, "hook_embed", **sizes, mask=torch.ones(3, 3))
    with pytest.raises(ValueError, match="ids"):
        ModelStream(model, tokens[0], "hook_embed", **sizes)
    with pytest.raises(ValueError, match="fewer than one batch of 16"):
        TensorStream(torch.zeros(10, 3), batch_size=16)
    with pytest.raises(ValueError, match="batch_size"):
        TensorStream(torch.zeros(10, 3), batch_size=0)


def test_nan_activations_are_named(model, tokens):
    x = torch.randn(30, 4)
    x[17, 2] = float("nan")
    with pytest.raises(ValueError, match="activation 17 of the tensor has NaN"):
        TensorStream(x, batch_size=5)
    target = torch.randn(30, 2)
    target[3] = float("inf")
    with pytest.raises(ValueError, match="target 3 of"):
        TensorStream(torch.randn(30, 4), target, batch_size=5)
    before = model.W_E[5].clone()
    with torch.no_grad():
        model.W_E[5] = float("nan")
    try:
        with pytest.raises(ValueError, match="hook_embed over 23 rows of 10 tokens has NaN"):
            next(ModelStream(model, tokens, "hook_embed", batch_size=10, buffer_size=207))
    finally:
        with torch.no_grad():
            model.W_E[5] = before


def test_scale_is_root_width_over_mean_length():
    x = torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    scales = estimate_scale(Batch(x, 2 * x), "the tensor")
    assert scales.scale_in == pytest.approx(2**0.5 / 3)
    assert scales.scale_out == pytest.approx(2**0.5 / 6)
    by_layer = scale_by_layer(torch.cat([x, 10 * x], -1), 2, "the tensor")
    assert by_layer.tolist() == pytest.approx([2**0.5 / 3] * 2 + [2**0.5 / 30] * 2)
    with pytest.raises(ValueError, match="all activations of the tensor are zero"):
        estimate_scale(Batch(torch.zeros(4, 2)), "the tensor")
