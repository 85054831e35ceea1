"""A dictionary in a model: transparent until it is edited, and gone afterwards."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from mechscope.dictionaries import TopKConfig, transcoder
from mechscope.dictionaries import config as c
from mechscope.dictionaries.building import build
from mechscope.model.config import HookedTransformerConfig
from mechscope.model.transformer import HookedTransformer

HERE = "blocks.0.hook_resid_post"


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
    return torch.randint(0, 30, (4, 9), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def dictionary():
    return build(TopKConfig(d_in=12, d_sae=40, k=5), 0).eval()


def replaced(model, tokens, hook_name, value):
    return model.run_with_hooks(tokens, fwd_hooks=[(hook_name, lambda a, hook: value.reshape(a.shape))])


def is_clean(model, tokens, base):
    assert not [name for name in [*model.hook_dict, *model.mod_dict] if "sae" in name]
    assert not any(point.fwd_hooks for point in model.hook_dict.values())
    assert not [name for name, _ in model.named_modules() if "sae" in name]
    assert torch.equal(model(tokens), base)


def test_features_are_cached_and_nothing_changes_with_the_error_term(model, tokens, dictionary):
    base, (_, cache) = model(tokens), model.run_with_cache(tokens)
    x = cache[HERE]
    with dictionary.attached(model, HERE) as attached:
        out, spliced = model.run_with_cache(tokens)
        only = model.run_with_cache(tokens, names_filter=attached.features)[1]
    assert_close(out, base, rtol=1e-4, atol=1e-5)
    assert attached.features == f"{HERE}.hook_sae_acts_post"
    assert_close(spliced[attached.features], dictionary.encode(x))
    assert_close(spliced[f"{HERE}.hook_sae_acts_pre"], dictionary.pre_activations(x))
    assert_close(spliced[f"{HERE}.hook_sae_input"], x)
    assert_close(spliced[attached.reconstruction], dictionary(x))
    assert_close(spliced[attached.error], x - dictionary(x))
    assert_close(spliced[f"{HERE}.hook_sae_output"], x, rtol=1e-4, atol=1e-5)
    assert list(only) == [attached.features]
    is_clean(model, tokens, base)


def test_without_the_error_term_the_reconstruction_goes_on(model, tokens, dictionary):
    base, cache = model.run_with_cache(tokens)
    with dictionary.attached(model, HERE, error_term=False):
        out = model(tokens)
    assert_close(out, replaced(model, tokens, HERE, dictionary(cache[HERE])))
    assert not torch.allclose(out, base, atol=1e-2)


@pytest.mark.parametrize("error_term", [False, True])
def test_an_edited_feature_moves_the_stream_by_its_decoder(model, tokens, dictionary, error_term):
    _, cache = model.run_with_cache(tokens)
    x = cache[HERE]

    def edit(features, hook):
        features[:, 3, 7] += 2.0

    with dictionary.attached(model, HERE, error_term=error_term) as attached:
        out = model.run_with_hooks(tokens, fwd_hooks=[(attached.features, edit)])
        model.reset_hooks()
        assert_close(model.run_with_hooks(tokens, fwd_hooks=[(attached.features, edit)]), out)
    expected = (x if error_term else dictionary(x)).clone()
    expected[:, 3] += 2.0 * dictionary.W_dec[7]
    assert_close(out, replaced(model, tokens, HERE, expected), rtol=1e-4, atol=1e-4)


def test_gradients_reach_features(model, tokens, dictionary):
    with dictionary.attached(model, HERE) as attached:
        _, cache = model.run_with_cache(
            tokens, return_type="loss", names_filter=attached.features, incl_bwd=True
        )
        there = cache[f"{attached.features}_grad"]
    _, plain = model.run_with_cache(tokens, return_type="loss", names_filter=HERE, incl_bwd=True)
    assert_close(there, plain[f"{HERE}_grad"] @ dictionary.W_dec.T, rtol=1e-3, atol=1e-6)


def test_it_comes_off_after_an_exception(model, tokens, dictionary):
    base = model(tokens)
    with pytest.raises(RuntimeError, match="mine"), dictionary.attached(model, HERE):
        raise RuntimeError("mine")
    is_clean(model, tokens, base)
    wide = build(c.ReluConfig(d_in=13, d_sae=20))
    with (
        pytest.raises(ValueError, match=r"\(4, 9, 12\); the dictionary reads width 13"),
        wide.attached(model, HERE),
    ):
        model(tokens)
    is_clean(model, tokens, base)


def test_names(model, tokens, dictionary):
    with (
        pytest.raises(KeyError, match="nearest names"),
        dictionary.attached(model, "blocks.0.hook_resid_pots"),
    ):
        pass
    with pytest.raises(ValueError, match="metadata has no 'hook_name'"), dictionary.attached(model):
        pass
    with (
        dictionary.attached(model, HERE),
        pytest.raises(ValueError, match="already attached to"),
        dictionary.attached(model, HERE),
    ):
        pass
    dictionary.metadata["hook_name"] = HERE
    with dictionary.attached(model) as attached:
        assert attached.reads == HERE
        other = build(TopKConfig(d_in=12, d_sae=20, k=3), 1)
        with other.attached(model, "blocks.1.hook_resid_post"):
            _, cache = model.run_with_cache(tokens)
    assert len([name for name in cache if name.endswith("acts_post")]) == 2


def test_heads_are_read_as_one_vector(model, tokens):
    _, cache = model.run_with_cache(tokens)
    heads = build(c.ReluConfig(d_in=12, d_sae=30), 0)
    with heads.attached(model, "blocks.1.attn.hook_z", error_term=False) as attached:
        out, spliced = model.run_with_cache(tokens)
    z = cache["blocks.1.attn.hook_z"].flatten(2)
    assert_close(spliced[attached.features], heads.encode(z))
    assert_close(out, replaced(model, tokens, "blocks.1.attn.hook_z", heads(z)))


@pytest.mark.parametrize("error_term", [False, True])
def test_a_transcoder_writes_where_it_should(model, tokens, error_term):
    base, (_, cache) = model(tokens), model.run_with_cache(tokens)
    reads, writes = "blocks.0.ln2.hook_normalized", "blocks.0.hook_mlp_out"
    through = build(transcoder(TopKConfig(d_in=12, d_sae=40, k=5), 12, skip=True), 0).eval()
    with torch.no_grad():
        through.W_skip += 0.1
    with through.attached(model, reads, writes=writes, error_term=error_term) as attached:
        out, spliced = model.run_with_cache(tokens)
        assert_close(spliced[attached.features], through.encode(cache[reads]))
    expected = base if error_term else replaced(model, tokens, writes, through(cache[reads]))
    assert_close(out, expected, rtol=1e-4, atol=1e-5)
    is_clean(model, tokens, base)
    with pytest.raises(ValueError, match="hook_name_out"), through.attached(model, reads):
        pass
    with (
        pytest.raises(RuntimeError, match="has not reached the point"),
        through.attached(model, writes, writes=reads),
    ):
        model(tokens)
