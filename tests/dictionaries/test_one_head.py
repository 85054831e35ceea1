"""Dictionaries of one head: read, spliced in, trained, measured, saved; the other heads stay as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from mechscope.dictionaries import ModelStream
from mechscope.dictionaries.evaluation import (
    evaluate,
    feature_pages,
    read_activations,
    read_features,
    spliced_loss,
)
from mechscope.dictionaries.exchange import load_dictionary, save_saelens
from mechscope.dictionaries.files import load, save
from mechscope.dictionaries.head import write_part
from mechscope.feature_effects import ablate_features, attribute_features, direct_feature_attribution
from mechscope.tasks import from_tokens
from tests.dictionaries.helpers import shaken
from tests.model.tiny import tiny_model

Q, Z, HEAD, D_HEAD = "blocks.0.attn.hook_q", "blocks.1.attn.hook_z", 2, 8


@pytest.fixture
def model():
    return tiny_model(seed=3, dtype=torch.float64)


@pytest.fixture
def tokens():
    return torch.randint(1, 30, (5, 9), generator=torch.Generator().manual_seed(4))


def one_head(hook: str = Q, name: str = "relu", **changes: Any):
    dictionary = shaken(name, seed=7, d_in=D_HEAD, d_sae=24, **changes)
    dictionary.metadata.update({"hook_name": hook, "hook_head_index": HEAD})
    return dictionary


def by_hand(model, tokens, hook: str, dictionary, where: torch.Tensor | None = None):
    def only_this_head(activation, hook):
        new = dictionary(activation[:, :, HEAD])
        if where is not None:
            new = torch.where(where[..., None], new, activation[:, :, HEAD])
        activation[:, :, HEAD] = new

    return model.run_with_hooks(tokens, fwd_hooks=[(hook, only_this_head)])


@pytest.mark.parametrize("hook", [Q, "blocks.1.attn.hook_k", "blocks.1.attn.hook_v", Z])
@torch.no_grad()
def test_only_this_head_is_replaced(model, tokens, hook: str) -> None:
    dictionary = one_head(hook)
    expected = by_hand(model, tokens, hook, dictionary)
    clean = model(tokens)
    assert not torch.allclose(expected, clean)
    with dictionary.attached(model, error_term=False) as attached:
        assert attached.head == attached.head_out == HEAD
        logits, cache = model.run_with_cache(tokens)
        assert torch.allclose(logits, expected, atol=1e-12)
        assert cache[attached.features].shape == (5, 9, 24)
        assert cache[attached.output].shape == (5, 9, D_HEAD)
        assert torch.equal(cache[attached.output], cache[hook][:, :, HEAD])
    with dictionary.attached(model):
        assert torch.allclose(model(tokens), clean, atol=1e-12)
    dictionary.metadata.pop("hook_head_index")
    with dictionary.attached(model, hook, error_term=False, head=HEAD):
        assert torch.allclose(model(tokens), expected, atol=1e-12)


@torch.no_grad()
def test_a_transcoder_from_one_head_to_another(model, tokens) -> None:
    dictionary = shaken("relu", seed=5, d_in=D_HEAD, d_out=D_HEAD, d_sae=24, subtract_b_dec=False)
    dictionary.metadata.update(
        {"hook_name": Q, "hook_name_out": Z, "hook_head_index": 1, "hook_head_index_out": 3}
    )
    kept: list[torch.Tensor] = []

    def read(q, hook):
        kept.append(dictionary(q[:, :, 1]))

    def write(z, hook):
        z[:, :, 3] = kept[0]

    expected = model.run_with_hooks(tokens, fwd_hooks=[(Q, read), (Z, write)])
    with dictionary.attached(model, error_term=False):
        assert torch.allclose(model(tokens), expected, atol=1e-12)
    found = spliced_loss(model, dictionary, tokens, Q, hook_out=Z)
    assert found.ce_spliced == pytest.approx(float(model.loss_fn(expected, tokens)), abs=1e-6)
    (x, y), *_ = read_activations(model, tokens, Q, Z, head=1, head_out=3)
    _, cache = model.run_with_cache(tokens)
    assert torch.allclose(x, cache[Q][:, :, 1], atol=1e-12) and torch.allclose(
        y, cache[Z][:, :, 3], atol=1e-12
    )


@torch.no_grad()
def test_evaluation_reads_and_ablates_this_head_alone(model, tokens) -> None:
    dictionary = one_head(Z)
    found = evaluate(dictionary, tokens, model=model, hook_name=Z)
    assert found.splice is not None
    spliced = by_hand(model, tokens, Z, dictionary)
    assert found.splice.ce_spliced == pytest.approx(float(model.loss_fn(spliced, tokens)), abs=1e-6)
    _, cache = model.run_with_cache(tokens)
    z = cache[Z][:, :, HEAD]
    for name, value in (("ce_zero", torch.zeros(D_HEAD)), ("ce_mean", z.mean((0, 1)))):

        def ablate(activation, hook, value=value):
            activation[:, :, HEAD] = value

        expected = model.run_with_hooks(tokens, fwd_hooks=[(Z, ablate)])
        assert getattr(found.splice, name) == pytest.approx(float(model.loss_fn(expected, tokens)), abs=1e-6)
    alone = evaluate(dictionary, z.flatten(0, 1))
    assert (found.l0, found.fvu, found.examples) == pytest.approx((alone.l0, alone.fvu, 45))
    some = read_features(model, dictionary, tokens, Z, [3, 5])
    assert torch.allclose(some, dictionary.encode(z)[..., [3, 5]].to(some))
    (page,) = feature_pages(model, dictionary, tokens, Z, [3], through=model.W_O[1, HEAD])
    assert page.max_activation == pytest.approx(float(some[..., 0].max())) and page.logits is not None


def test_features_of_a_head_have_effects(model, tokens) -> None:
    dictionary = one_head(Z)
    corrupted = tokens.clone()
    corrupted[:, 3] = (corrupted[:, 3] + 5) % 30
    task = from_tokens(tokens, corrupted, [1] * 5, [2] * 5)
    with dictionary.attached(model) as attached:
        estimated = attribute_features(model, task, attached, steps=200, normalize=False, progress=False)
        ablated = ablate_features(model, task, attached, how="zero", normalize=False, progress=False)
        direct = direct_feature_attribution(model, task, attached)
    assert estimated.total == pytest.approx(estimated.whole, abs=2e-3 * max(1, abs(estimated.whole)))
    assert float(abs(ablated.features.values).max()) > 0
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens)
        wanted = (cache[Z][:, -1, HEAD] @ model.W_O[1, HEAD]).unsqueeze(0)
        right = cache.logit_attrs(wanted, 1, 2, pos_slice=-1).mean()
    assert direct.bias + direct.effects.whole == pytest.approx(float(right), abs=1e-6)


def test_training_on_one_head(model, tokens) -> None:
    stream = ModelStream(
        model, tokens, Z, head=1, batch_size=9, buffer_size=45, skip_first=0, dtype=torch.float64
    )
    assert stream.d_in == D_HEAD and "head 1 of" in stream.source
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens)
    expected = cache[Z][:, :, 1].flatten(0, 1)
    found = torch.cat([next(stream).x for _ in range(5)])
    sorted_found, sorted_expected = (rows[rows[:, 0].argsort()] for rows in (found, expected))
    assert torch.allclose(sorted_found, sorted_expected, atol=1e-12)
    paired = ModelStream(
        model, tokens, Q, target_hook_name=Z, head=0, target_head=3, batch_size=9, buffer_size=40
    )
    assert (paired.d_in, paired.d_out) == (D_HEAD, D_HEAD)


def test_the_head_is_kept_in_files(tmp_path: Path) -> None:
    dictionary = one_head(Z)
    save(dictionary, tmp_path / "ours")
    assert load(tmp_path / "ours").metadata["hook_head_index"] == HEAD
    save_saelens(dictionary, tmp_path / "theirs")
    back = load_dictionary(tmp_path / "theirs")
    assert (back.metadata["hook_head_index"], back.metadata["hook_name"]) == (HEAD, Z)


@pytest.mark.parametrize("older", [True, False])
@pytest.mark.parametrize("hook", [Q, Z])
@torch.no_grad()
def test_a_saelens_folder_of_one_head(model, tokens, tmp_path: Path, older: bool, hook: str) -> None:
    made = torch.Generator().manual_seed(1)
    state = {
        "W_enc": torch.randn(D_HEAD, 24, generator=made) * 0.3,
        "b_enc": torch.zeros(24),
        "W_dec": torch.randn(24, D_HEAD, generator=made) * 0.3,
        "b_dec": torch.zeros(D_HEAD),
    }
    save_file(state, tmp_path / "sae_weights.safetensors")
    where = {"hook_name": hook, "hook_head_index": HEAD}
    settings = {"architecture": "standard", "d_in": D_HEAD, "d_sae": 24, "dtype": "float64"}
    settings |= {"hook_layer": int(hook.split(".")[1]), **where} if older else {"metadata": where}
    (tmp_path / "cfg.json").write_text(json.dumps(settings))
    dictionary = load_dictionary(tmp_path)
    expected = by_hand(model, tokens, hook, dictionary)
    with dictionary.attached(model, error_term=False):
        assert torch.allclose(model(tokens), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("head", "says"), [(True, "index of a head"), (-1, "index of a head"), ("2", "index")]
)
def test_what_is_no_head(tmp_path: Path, head: Any, says: str) -> None:
    dictionary = one_head()
    dictionary.metadata["hook_head_index"] = head
    with pytest.raises(ValueError, match=says):
        dictionary.attached(tiny_model(seed=3)).__enter__()
    save_saelens(one_head(), tmp_path)
    settings = json.loads((tmp_path / "cfg.json").read_text())
    settings["metadata"]["hook_head_index"] = head
    (tmp_path / "cfg.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match=rf"cfg.json.*{says}"):
        load_dictionary(tmp_path)


def test_heads_that_a_point_lacks(model, tokens) -> None:
    dictionary = one_head()
    elsewhere = dictionary.attached(model, "blocks.0.hook_resid_post", elsewhere=True)
    with elsewhere, pytest.raises(ValueError, match="no heads"):
        model(tokens)
    with dictionary.attached(model, head=4), pytest.raises(ValueError, match="heads 0 to 3, but no head 4"):
        model(tokens)
    with pytest.raises(ValueError, match="no heads"):
        spliced_loss(model, dictionary, tokens, "blocks.0.hook_resid_post")
    with pytest.raises(ValueError, match="no head 9"):
        ModelStream(model, tokens, Z, head=9, batch_size=9, buffer_size=40)
    with pytest.raises(ValueError, match="writes to the head that it reads"):
        dictionary.attached(model, head=1, head_out=2).__enter__()
    with pytest.raises(ValueError, match="but head 1"):
        write_part(torch.zeros(2, 3, 4, 8), torch.zeros(2, 3, 5), 1, Z)
