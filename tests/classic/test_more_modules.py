"""Classic modules beyond the model: loading by name, Tracr, training, paths between heads, evaluations, caches."""

from __future__ import annotations

import copy
import importlib
import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import mechscope
from mechscope import evals, loading_from_pretrained, train
from mechscope.model.transformer import HookedTransformer
from mechscope.utilities import tracr
from tests.classic.peers import twins
from tests.classic.words import word_tokenizer
from tests.model.tiny import BASE, tiny_model, tiny_tokens

direct_paths = importlib.import_module("mechscope.tools.analysis.direct_path_patching")


def test_second_names_are_the_same_things() -> None:
    assert mechscope.EasyTransformer is mechscope.HookedTransformer
    assert mechscope.EasyTransformerConfig is mechscope.HookedTransformerConfig
    assert mechscope.TransformerLensKeyValueCache is mechscope.HookedTransformerKeyValueCache
    assert mechscope.TransformerLensKeyValueCacheEntry is mechscope.HookedTransformerKeyValueCacheEntry
    assert mechscope.loading is loading_from_pretrained
    for name in mechscope.utils.__all__:
        assert getattr(mechscope.utilities, name) is getattr(mechscope.utils, name)


# Paths between heads ------------------------------------------------------------------------------


def metric(logits: torch.Tensor) -> torch.Tensor:
    return logits[:, -1, 3].mean() - logits[:, -2, 7].mean()


def runs(model: Any) -> tuple[torch.Tensor, Any, Any]:
    corrupted = tiny_tokens()
    _, clean = model.run_with_cache(corrupted.flip(0))
    _, cache = model.run_with_cache(corrupted)
    return corrupted, clean, cache


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("component", ["q", "k", "v"])
def test_paths_between_heads_are_the_references(component: str) -> None:
    """On a model whose norms are folded and whose writing weights are centred, for which the reference is exact."""
    theirs = pytest.importorskip("transformer_lens.tools.analysis.direct_path_patching")
    model, peer = twins("LNPre", dtype=torch.float64, n_layers=3)
    model.process_weights_(fold_ln=False)
    peer.load_state_dict(model.state_dict(), strict=False)
    found = direct_paths.get_act_patch_direct_path(
        model, *runs(model), metric, src_layer=0, src_head=2, component=component, verbose=False
    )
    expected = theirs.get_act_patch_direct_path(
        peer, *runs(peer), metric, src_layer=0, src_head=2, component=component, verbose=False
    )
    assert found.shape == (3, 4) and not found[0].any()
    assert torch.allclose(found.double(), expected.double(), atol=1e-5)


@pytest.mark.parametrize("kind", ["plain", "RMS", "no norm"])
def test_a_path_adds_what_the_head_reads_of_the_change(kind: str) -> None:
    """By hand: the norm of the changed stream, less that of the unchanged one, with the scale held still."""
    model = tiny_model(kind, dtype=torch.float64)
    corrupted, clean, cache = runs(model)
    result = (clean["z", 0] - cache["z", 0])[:, :, 1] @ model.blocks[0].attn.W_O[1]
    names = ("blocks.1.ln1.hook_scale",) if kind != "no norm" else ()
    hold = [(name, lambda scale, hook: cache[hook.name]) for name in names]
    with model.hooks(fwd_hooks=hold):
        read = model.blocks[1].ln1(cache["resid_pre", 1] + result)
    query = read @ model.W_Q[1, 3] + model.b_Q[1, 3]

    def replace(q: torch.Tensor, hook: Any) -> None:
        q[:, :, 3] = query

    expected = metric(model.run_with_hooks(corrupted, fwd_hooks=[("blocks.1.attn.hook_q", replace)]))
    found = direct_paths.get_act_patch_direct_path(
        model, corrupted, clean, cache, metric, 0, 1, verbose=False
    )
    assert float(found[1, 3]) == pytest.approx(expected.item(), abs=1e-5)
    every = direct_paths.get_act_patch_direct_path_all_sources(
        model, corrupted, clean, cache, metric, verbose=False
    )
    assert every.shape == (2, 4, 2, 4) and torch.equal(every[0, 1], found) and not every[1].any()


@pytest.mark.parametrize(
    ("kind", "arguments", "reason"),
    [
        ("plain", {"src_head": 4}, "no head 4 in layer 0"),
        ("plain", {"component": "z"}, "'q', 'k' or 'v'"),
        ("grouped", {"component": "k"}, "share keys and values"),
        ("norms before and after", {}, "no direct paths between single heads"),
    ],
)
def test_paths_misused(kind: str, arguments: dict[str, Any], reason: str) -> None:
    model = tiny_model(kind)
    where = {"src_layer": 0, "src_head": 0, **arguments}
    with pytest.raises(ValueError, match=reason):
        direct_paths.get_act_patch_direct_path(model, *runs(model), metric, **where)


# Names and checkpoints ----------------------------------------------------------------------------


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore")
def test_names_lead_to_the_references_repositories() -> None:
    theirs = pytest.importorskip("transformer_lens.loading_from_pretrained")
    shared = set(loading_from_pretrained.OFFICIAL_MODEL_NAMES) & set(theirs.OFFICIAL_MODEL_NAMES)
    assert len(shared) > 50
    for alias, hub_id in theirs.make_model_alias_map().items():
        # One alias is a repository's name with a part left out.
        if hub_id in shared and alias != "attn-only-2l-shortformer-6b-big-lr":
            assert loading_from_pretrained.get_official_model_name(alias) == hub_id, alias
    for name in ("pythia-70m", "stanford-gpt2-small-a"):
        found, kind = loading_from_pretrained.get_checkpoint_labels(name)
        expected, their_kind = theirs.get_checkpoint_labels(name)
        assert kind == their_kind and set(expected) <= set(found)
    alias_map = loading_from_pretrained.make_model_alias_map()
    assert alias_map["gpt2-small"] == alias_map["openai-community/gpt2"] == "openai-community/gpt2"
    for wrong, call in (
        ("gpt22", loading_from_pretrained.get_official_model_name),
        ("gpt2", loading_from_pretrained.get_checkpoint_labels),
    ):
        with pytest.raises(ValueError, match="gpt2"):
            call(wrong)


def test_a_config_and_weights_by_name() -> None:
    model = HookedTransformer.from_pretrained_no_processing("induction-2l", device="cpu")
    cfg = loading_from_pretrained.get_pretrained_model_config("induction-2l")
    assert (cfg.n_layers, cfg.d_model, cfg.d_vocab) == (
        model.cfg.n_layers,
        model.cfg.d_model,
        model.cfg.d_vocab,
    )
    assert loading_from_pretrained.get_num_params_of_pretrained("induction-2l") == model.cfg.n_params
    state = loading_from_pretrained.get_pretrained_state_dict("induction-2l", cfg)
    fresh = HookedTransformer(cfg)
    fresh.load_state_dict(loading_from_pretrained.fill_missing_keys(fresh, state))
    tokens = torch.arange(6)[None]
    assert torch.allclose(fresh(tokens), model(tokens), atol=1e-5)


# Tracr --------------------------------------------------------------------------------------------


def assembled(layers: int = 2, heads: int = 2, *, causal: bool = False) -> Any:
    """What Tracr's compiler gives, with random weights: parameters by Haiku's names, labels, an output encoder."""
    generator = np.random.default_rng(0)
    labels = ["indices:0", "indices:1", "one", "tokens:a", "tokens:b", "out:x", "out:y", "out:z"]
    width, key, hidden = len(labels), 3, 5
    params: dict[str, dict[str, np.ndarray]] = {
        "token_embed": {"embeddings": generator.normal(size=(6, width))},
        "pos_embed": {"embeddings": generator.normal(size=(7, width))},
    }
    for layer in range(layers):
        name = f"transformer/layer_{layer}"
        shapes = dict.fromkeys(("attn/query", "attn/key", "attn/value"), (width, heads * key))
        shapes |= {"attn/linear": (heads * key, width), "mlp/linear_1": (width, hidden)}
        shapes["mlp/linear_2"] = (hidden, width)
        for part, shape in shapes.items():
            params[f"{name}/{part}"] = {
                "w": generator.normal(size=shape),
                "b": generator.normal(size=shape[1]),
            }
    config = SimpleNamespace(
        num_layers=layers,
        num_heads=heads,
        key_size=key,
        mlp_hidden_size=hidden,
        causal=causal,
        layer_norm=False,
    )
    return SimpleNamespace(
        model_config=config,
        params=params,
        residual_labels=labels,
        output_encoder=SimpleNamespace(encoding_map={"z": 0, "x": 1, "y": 2}),
    )


def by_hand(model: Any, tokens: torch.Tensor, unembed: np.ndarray) -> torch.Tensor:
    """The transformer that Tracr's library runs: no norms, ReLU, heads side by side."""
    about, params = model.model_config, model.params

    def linear(name: str, x: torch.Tensor) -> torch.Tensor:
        return x @ torch.tensor(params[name]["w"]) + torch.tensor(params[name]["b"])

    x = torch.tensor(params["token_embed"]["embeddings"])[tokens]
    x = x + torch.tensor(params["pos_embed"]["embeddings"])[: tokens.shape[1]]
    for layer in range(about.num_layers):
        name = f"transformer/layer_{layer}"
        q, k, v = (
            linear(f"{name}/attn/{part}", x).unflatten(-1, (about.num_heads, about.key_size)).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        scores = q @ k.mT / about.key_size**0.5
        if about.causal:
            scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -torch.inf)
        x = x + linear(f"{name}/attn/linear", (scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
        x = x + linear(f"{name}/mlp/linear_2", linear(f"{name}/mlp/linear_1", x).relu())
    return x @ torch.tensor(unembed, dtype=torch.float64)


@pytest.mark.parametrize(("layers", "heads", "causal"), [(2, 2, False), (1, 3, True)])
def test_a_tracr_model_becomes_ours(layers: int, heads: int, causal: bool) -> None:
    compiled = assembled(layers, heads, causal=causal)
    model = HookedTransformer(tracr.tracr_config(compiled))
    model = model.double()
    model.load_state_dict(tracr.tracr_state_dict(compiled, dtype=torch.float64))
    tokens = torch.tensor([[0, 3, 5, 1], [2, 2, 4, 0]])
    expected = by_hand(compiled, tokens, tracr.make_tracr_categorical_unembed(compiled))
    assert torch.allclose(model(tokens), expected, atol=1e-9)


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore")
def test_the_unembedding_of_a_tracr_model_is_the_references() -> None:
    theirs = pytest.importorskip("transformer_lens.utilities.tracr")
    compiled = assembled()
    assert tracr.infer_tracr_output_label(compiled) == theirs.infer_tracr_output_label(compiled) == "out"
    for label in (None, "out"):
        found = tracr.make_tracr_categorical_unembed(compiled, label)
        assert np.array_equal(found, theirs.make_tracr_categorical_unembed(compiled, label))
        assert found.dtype == np.float32


def test_tracr_models_that_cannot_be_read() -> None:
    normed = assembled()
    normed.model_config.layer_norm = True
    ambiguous = assembled()
    ambiguous.residual_labels = [*ambiguous.residual_labels, "again:x", "again:y", "again:z"]
    numerical = assembled()
    numerical.output_encoder = SimpleNamespace()
    for call, reason in (
        (lambda: tracr.tracr_config(normed), "layer norms"),
        (lambda: tracr.infer_tracr_output_label(ambiguous), "2 variables"),
        (lambda: tracr.make_tracr_categorical_unembed(assembled(), "tokens"), "has no 'tokens:z'"),
        (lambda: tracr.tracr_config(numerical), "categorical"),
    ):
        with pytest.raises(ValueError, match=reason):
            call()


# Training and evaluations -------------------------------------------------------------------------


def rows(count: int = 12) -> Any:
    from mechscope.data.token_rows import TokenRows

    return TokenRows(torch.arange(8).repeat(count, 1))


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "how", [{}, {"optimizer_name": "SGD", "momentum": 0.5, "weight_decay": 0.1}, {"weight_decay": 0.5}]
)
def test_training_does_what_the_reference_does(
    how: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = pytest.importorskip("transformer_lens.train")
    ours, peer = twins(dtype=torch.float64)
    settings = {
        "num_epochs": 2,
        "batch_size": 4,
        "lr": 0.01,
        "warmup_steps": 3,
        "max_grad_norm": 1.0,
        "device": "cpu",
        "print_every": 2,
        **how,
    }
    train.train(ours, train.HookedTransformerTrainConfig(**settings), rows())
    printed = capsys.readouterr().out
    theirs.train(peer, theirs.HookedTransformerTrainConfig(**settings), rows())
    theirs_printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Epoch")]
    assert len(printed.splitlines()) == len(theirs_printed) == 4
    for name, value in ours.state_dict().items():
        assert torch.allclose(value, peer.state_dict()[name].to(value.dtype), atol=1e-5), name


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("how", [{}, {"optimizer_name": "SGD"}, {"weight_decay": 0.1}])
def test_training_in_half_precision_learns_as_in_float32(
    how: dict[str, Any], dtype: torch.dtype, tmp_path: Path
) -> None:
    narrow = tiny_model().to(dtype)
    wide, before = copy.deepcopy(narrow).float(), copy.deepcopy(narrow).float()
    for model, folder in ((narrow, "narrow"), (wide, "wide")):
        config = train.HookedTransformerTrainConfig(
            2,
            4,
            lr=1e-4,
            device="cpu",
            print_every=None,
            save_every=1,
            save_dir=str(tmp_path / folder),
            **how,
        )
        train.train(model, config, rows())
    assert narrow.cfg.dtype == dtype and not torch.equal(wide.W_E, before.W_E)
    for name, value in narrow.state_dict().items():
        assert torch.equal(value, wide.state_dict()[name].to(dtype)), name
    saved = load_file(tmp_path / "narrow" / "model_2.safetensors")
    assert torch.equal(saved["embed.W_E"], narrow.embed.W_E)


def test_training_leaves_padding_out() -> None:
    masked = [{"tokens": torch.arange(8), "attention_mask": torch.tensor([0, 0, 0, 1, 1, 1, 1, 1])}] * 4
    short = [{"tokens": torch.arange(3, 8)}] * 4
    models = [tiny_model(dtype=torch.float64), tiny_model(dtype=torch.float64)]
    for model, data in zip(models, (masked, short), strict=True):
        train.train(model, train.HookedTransformerTrainConfig(1, 4, device="cpu", print_every=None), data)  # type: ignore[arg-type]
    for name, value in models[0].state_dict().items():
        torch.testing.assert_close(value, models[1].state_dict()[name])


def test_training_saves_and_refuses(tmp_path: Path) -> None:
    model = tiny_model()
    before = model(torch.arange(8)[None], return_type="loss")
    config = train.HookedTransformerTrainConfig(
        2, 4, save_every=1, save_dir=str(tmp_path / "new"), max_steps=1, print_every=None, device="cpu"
    )
    assert train.train(model, config, rows()) is model
    assert model(torch.arange(8)[None], return_type="loss") < before
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "model_0.safetensors",
        "model_1.safetensors",
    ]
    with pytest.raises(ValueError, match="data set is empty"):
        train.train(model, config, rows(0))
    for wrong, reason in (
        ({"optimizer_name": "Adem"}, "must be one of Adam"),
        ({"num_epochs": 0}, "at least 1"),
        ({"save_every": 2}, "save_dir"),
    ):
        with pytest.raises(ValueError, match=reason):
            train.HookedTransformerTrainConfig(**{"num_epochs": 1, "batch_size": 1, **wrong})


def test_evaluations_by_the_name_of_a_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = pytest.importorskip("datasets")
    tokenizer = word_tokenizer()
    model = tiny_model(d_vocab=len(tokenizer), n_ctx=1024)
    model.set_tokenizer(tokenizer)
    texts = library.Dataset.from_dict({"text": ["the cat sat on the mat " * 400] * 2})
    for name in evals.DATASET_NAMES:
        texts.save_to_disk(str(tmp_path / "datasets" / name))
    monkeypatch.setenv("MECHSCOPE_DATA", str(tmp_path))
    assert len(evals.DATASET_LOADERS) == len(evals.DATASET_NAMES)
    batch = next(iter(evals.make_pile_data_loader(tokenizer, batch_size=2)))
    assert batch["tokens"].shape == (2, 1024)
    losses = evals.evaluate(model, truncate=1, batch_size=1)
    assert set(losses) == {"wiki_loss", "owt_loss", "pile_loss", "code_loss"}
    assert all(loss == pytest.approx(losses["wiki_loss"], abs=0.3) for loss in losses.values())


def test_an_ioi_dataset_makes_more_sentences() -> None:
    tokenizer = word_tokenizer()
    dataset = evals.IOIDataset(tokenizer, num_samples=4)
    again = evals.IOIDataset(tokenizer, num_samples=4)
    assert dataset.samples == again.samples
    assert dataset.samples != evals.IOIDataset(tokenizer, num_samples=4, seed=3).samples
    assert len(dataset.get_sample()) == 1
    one, other = dataset.get_sample(symmetric=True)
    assert (one["IO"], one["S"]) == (other["S"], other["IO"])
    assert {name for pair in itertools.chain(dataset.samples) for name in (pair["IO"].strip(),)} <= set(
        evals.IOIDataset.get_default_names()
    )
    assert all("[A]" in template for template in evals.IOIDataset.get_default_templates())
    assert set(evals.IOIDataset.get_default_nouns()) == {"LOCATION", "OBJECT"}


# Caches -------------------------------------------------------------------------------------------


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("directions", [1, 3])
def test_neurons_projected_on_directions_are_the_references(directions: int) -> None:
    ours, theirs = twins("LNPre", dtype=torch.float64)
    onto = torch.randn(BASE["d_model"], directions, dtype=torch.float64).squeeze(1)
    _, cache = ours.run_with_cache(tiny_tokens())
    _, other = theirs.run_with_cache(tiny_tokens())
    assert cache.has_embed is other.has_embed is True and cache.has_pos_embed is other.has_pos_embed is True
    calls: list[dict[str, Any]] = [{}, {"pos_slice": -1, "neuron_slice": (0, 5)}]
    for arguments in calls:
        found = cache.get_neuron_results(1, project_output_onto=onto, **arguments)
        assert torch.allclose(
            found, other.get_neuron_results(1, project_output_onto=onto, **arguments), atol=1e-5
        )
        for more in ({}, {"apply_ln": True}, {"incl_remainder": True}):
            how = {**arguments, **more, "project_output_onto": onto, "return_labels": True}
            found, labels = cache.stack_neuron_results(2, **how)
            expected, their_labels = other.stack_neuron_results(2, **how)
            assert list(labels) == list(their_labels)
            assert torch.allclose(found, expected, atol=1e-5), how.keys()
            whole = cache.stack_neuron_results(2, **arguments, **more)
            assert torch.allclose(found, whole @ onto, atol=1e-9)


def test_moving_a_model_takes_the_classic_keyword() -> None:
    model = tiny_model()
    assert model.to(device_or_dtype=torch.float64, print_details=False).W_E.dtype == torch.float64
    assert model.to("cpu", True).cfg.device == "cpu"
    assert mechscope.SVDInterpreter(model).params.keys() == dict(model.named_parameters()).keys()
