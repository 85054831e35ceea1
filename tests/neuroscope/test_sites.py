"""Sites are found by name and read what their names say."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mechscope import load_model
from mechscope.dictionaries import TopKConfig, build
from mechscope.dictionaries.files import load, save
from mechscope.model.transformer import HookedTransformer
from mechscope.neuroscope.sites import find_sites, known_sites, located_source

TEXT = "The cat sat on the mat, and the dog sat on the cat."


@pytest.fixture(scope="module")
def model():
    return load_model("mini-gelu-1l")


@pytest.fixture(scope="module")
def cache(model):
    return model.run_with_cache(model.to_tokens([TEXT, TEXT[10:] + TEXT[:10]]))[1]


def read(site, cache):
    return site.read({hook: cache[hook] for hook in site.hooks})


def test_neurons_are_read_after_the_activation_function(model, cache):
    (site,) = find_sites(model, ["mlp"])
    assert (site.name, site.units, site.signed, site.block) == ("mlp0", 256, False, 0)
    assert torch.equal(read(site, cache), cache["post", 0])
    assert torch.equal(site.output_weights(), model.W_out[0])


def test_names_without_a_number_stand_for_all_blocks():
    two = load_model("mini-gelu-2l")
    assert [site.name for site in find_sites(two, ["mlp", "attn1.norm", "attn.entropy"])] == [
        "mlp0", "mlp1", "attn1.norm", "attn0.entropy", "attn1.entropy",
    ]  # fmt: skip


def test_statistics_of_heads_are_those_of_a_loop(model, cache):
    pattern, values = cache["pattern", 0].double().numpy(), cache["v", 0].double().numpy()
    W_O = model.W_O[0].detach().double().numpy()
    sites = find_sites(model, ["attn0.entropy", "attn0.distance", "attn0.norm"])
    entropy, distance, norm = (read(site, cache) for site in sites)
    for row, head, query in [(0, 0, 0), (0, 1, 5), (1, 3, 9)]:
        attention = pattern[row, head, query]
        used = [(key, share) for key, share in enumerate(attention) if share > 0]
        assert entropy[row, query, head] == pytest.approx(-sum(a * np.log(a) for _, a in used), abs=1e-5)
        assert distance[row, query, head] == pytest.approx(
            sum(a * (query - key) for key, a in used), abs=1e-4
        )
        lengths = [a * np.linalg.norm(values[row, key, head] @ W_O[head]) for key, a in used]
        assert norm[row, query, head] == pytest.approx(sum(lengths), rel=1e-4)
    assert all(site.signed and site.output_weights() is None for site in sites)


def test_norm_weighted_attention_repeats_values_that_heads_share():
    cfg = {
        "n_layers": 1,
        "d_model": 8,
        "n_ctx": 6,
        "d_head": 2,
        "n_heads": 4,
        "n_key_value_heads": 2,
        "d_vocab": 5,
    }
    grouped = HookedTransformer({**cfg, "attn_only": True, "seed": 0})
    _, cache = grouped.run_with_cache(torch.tensor([[1, 2, 3, 4]]))
    (site,) = find_sites(grouped, ["attn.norm"])
    found = read(site, cache)
    W_O = grouped.blocks[0].attn.W_O.detach()
    for head in range(4):
        lengths = (cache["v", 0][0, :, head // 2] @ W_O[head]).norm(dim=-1)
        assert torch.allclose(found[0, :, head], cache["pattern", 0][0, head] @ lengths, rtol=1e-4)


def test_latents_of_the_bundled_dictionary_and_of_a_folder(model, cache, tmp_path):
    (site,) = find_sites(model, ["mini-gelu-1l-neurons"])
    dictionary = load("mini-gelu-1l-neurons").float()
    assert torch.equal(read(site, cache), dictionary.encode(cache["post", 0]))
    assert torch.allclose(site.output_weights(), dictionary.W_dec @ model.W_out[0])
    mine = build(TopKConfig(d_in=64, d_sae=10, k=2), 0)
    mine.metadata["hook_name"] = "blocks.0.hook_resid_mid"
    save(mine, tmp_path / "mine")
    (folder,) = find_sites(model, [str(tmp_path / "mine")])
    assert (folder.name, folder.units, folder.signed) == ("mine", 10, False)
    assert (read(folder, cache) > 0).sum(-1).max() <= 2
    assert find_sites(model, [folder.source])[0].name == "mine"
    mine.metadata["hook_name"] = "blocks.0.mlp.hook_post"
    save(mine, tmp_path / "wide")
    with pytest.raises(
        ValueError, match=r"width 64, but blocks\.0\.mlp\.hook_post of mini-gelu-1l has width 256"
    ):
        find_sites(model, [str(tmp_path / "wide")])
    del mine.metadata["hook_name"]
    save(mine, tmp_path / "nowhere")
    with pytest.raises(ValueError, match="its metadata has no 'hook_name'"):
        find_sites(model, [str(tmp_path / "nowhere")])


def test_directions_are_projections(model, cache, tmp_path):
    directions = torch.randn(3, 64, generator=torch.Generator().manual_seed(0))
    save_file({"directions": directions, "other": torch.zeros(1)}, tmp_path / "refusal.safetensors")
    source = f"{tmp_path / 'refusal.safetensors'}@resid_post0"
    (site,) = find_sites(model, [source])
    assert (site.name, site.units, site.signed, site.block) == ("refusal", 3, True, 0)
    assert torch.allclose(read(site, cache), cache["resid_post", 0] @ directions.T)
    assert torch.allclose(site.output_weights(), directions / directions.square().sum(1, keepdim=True))
    with pytest.raises(
        ValueError, match=r"have width 64, but blocks\.0\.mlp\.hook_post of mini-gelu-1l has width 256"
    ):
        find_sites(model, [source.replace("resid_post0", "mlp_post0")])
    save_file({"a": directions, "b": directions.clone()}, tmp_path / "two.safetensors")
    with pytest.raises(ValueError, match=r"has 2 tensors \(a, b\)"):
        find_sites(model, [f"{tmp_path / 'two.safetensors'}@resid_post0"])
    save_file({"a": directions * torch.nan}, tmp_path / "nan.safetensors")
    with pytest.raises(ValueError, match="not finite"):
        find_sites(model, [f"{tmp_path / 'nan.safetensors'}@resid_post0"])
    directions[1] = 0
    save_file({"a": directions}, tmp_path / "zero.safetensors")
    with pytest.raises(ValueError, match=r"row 1 of 'a' in .* has only zeros, which is no direction"):
        find_sites(model, [f"{tmp_path / 'zero.safetensors'}@resid_post0"])


def test_files_and_folders_are_found_from_other_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("some.safetensors", "mine", "mlp0", "mini-gelu-1l-neurons"):
        (tmp_path / name).touch()
    assert located_source("some.safetensors@resid_post0") == f"{tmp_path / 'some.safetensors'}@resid_post0"
    assert located_source("mine") == str(tmp_path / "mine")
    # Names come first, whatever is in the folder.
    for name in ("mlp0", "attn0.norm", "mini-gelu-1l-neurons", "nothing"):
        assert located_source(name) == name


@pytest.mark.parametrize(
    ("names", "kind", "words"),
    [
        (["mpl0"], KeyError, "has no site 'mpl0'. Did you mean mlp0"),
        (["attn.entrpy"], KeyError, "Did you mean attn.entropy"),
        (["mini-gelu-1l-neuron"], KeyError, "Did you mean mini-gelu-1l-neurons?"),
        (["mlp1"], KeyError, "it has 1 blocks, from 0 to 0"),
        (["no/such/folder"], FileNotFoundError, "there is no dictionary at 'no/such/folder'"),
        (["nothing.safetensors@resid_post0"], FileNotFoundError, "nothing.safetensors"),
        (["nothing.safetensors@resid_pst0"], KeyError, "no hook point is called"),
        ([], ValueError, "at least one site"),
        (["mlp", "mlp0"], ValueError, "'mlp0' is there twice"),
    ],
)
def test_names_that_mean_nothing_are_refused_with_a_hint(model, names, kind, words):
    with pytest.raises(kind) as caught:
        find_sites(model, names)
    assert words in str(caught.value)


def test_known_sites_leave_out_other_models_dictionaries_and_missing_neurons():
    assert "mini-gelu-1l-neurons" not in known_sites(load_model("mini-gelu-2l"))
    attention_only = load_model("mini-attn-only-1l")
    assert known_sites(attention_only) == ["attn0.entropy", "attn0.distance", "attn0.norm"]
    with pytest.raises(ValueError, match="has no neurons: it is attention-only"):
        find_sites(attention_only, ["mlp"])


def test_neurons_behind_a_gate_or_a_norm_are_signed():
    cfg = {"n_layers": 1, "d_model": 4, "n_ctx": 4, "d_head": 4, "d_vocab": 5, "d_mlp": 6, "seed": 0}
    gated = HookedTransformer({**cfg, "act_fn": "silu", "gated_mlp": True})
    normed = HookedTransformer({**cfg, "act_fn": "solu_ln"})
    plain = HookedTransformer({**cfg, "act_fn": "relu"})
    assert [find_sites(model, ["mlp"])[0].signed for model in (gated, normed, plain)] == [True, True, False]
