"""An imported dictionary's metadata is used, kept for the record, or reported; nothing is ignored silently."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mechscope.dictionaries.dictionary import Dictionary
from mechscope.dictionaries.evaluation import evaluate, feature_pages, spliced_loss
from mechscope.dictionaries.exchange import load_dictionary, load_dictionary_learning, save_saelens
from mechscope.dictionaries.exchange._saelens_metadata import RECORD, USED
from mechscope.dictionaries.exchange._saelens_older import METADATA
from mechscope.dictionaries.exchange.sparsify import KNOWN
from mechscope.model.token_batch import Tokens
from tests.dictionaries.exchange_files import dictionary_learning_folder, saelens_config, saelens_folder
from tests.dictionaries.helpers import shaken
from tests.model.letters import Letters
from tests.model.tiny import tiny_model

HOOK = "blocks.0.hook_resid_post"
SLICES = [[5], [1, None], [2, -1], [None, None, 2], [-4, None], [1, -1, 3]]


@pytest.fixture
def model() -> Any:
    return tiny_model(seed=3, dtype=torch.float64)


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randint(1, 30, (4, 9), generator=torch.Generator().manual_seed(4))


def dictionary_of(model: Any, **metadata: Any) -> Dictionary:
    dictionary = shaken("relu", seed=7, d_in=model.cfg.d_model, d_sae=24)
    dictionary.metadata.update({"hook_name": HOOK, **metadata})
    return dictionary


@pytest.mark.peer
def test_every_entry_that_saelens_writes_is_known() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = pytest.importorskip(
            "sae_lens.loading.pretrained_sae_loaders", reason="`peers` is not installed"
        )
    unknown = {*config.LLM_METADATA_KEYS, *METADATA} - {*USED, *RECORD}
    assert not unknown
    assert not USED.keys() & RECORD


@pytest.mark.parametrize(
    ("entry", "value", "says"),
    [
        ("hook_name", 3, "hook_name must be text"),
        ("hook_name_out", ["a"], "hook_name_out must be text"),
        ("hook_layer", "first", "hook_layer must be"),
        ("hook_head_index", -1, "index of a head"),
        ("hook_head_index_out", "2", "index of a head"),
        ("seqpos_slice", 5, "seqpos_slice is a slice"),
        ("seqpos_slice", [1, 2, 3, 4], "seqpos_slice is a slice"),
        ("seqpos_slice", [None, None, -1], "step of at least 1"),
        ("seqpos_slice", [1.5], "seqpos_slice is a slice"),
        ("exclude_special_tokens", "yes", "exclude_special_tokens must be"),
        ("prepend_bos", "yes", "prepend_bos must be"),
        ("context_size", 0, "context_size must be at least 1"),
        ("context_size", 1.5, "context_size must be"),
        ("model_name", 7, "model_name must be text"),
        ("model_from_pretrained_kwargs", [1], "model_from_pretrained_kwargs must be"),
    ],
)
def test_an_entry_of_the_wrong_kind(entry: str, value: Any, says: str, tmp_path: Path) -> None:
    metadata = {"hook_name": "blocks.3.hook_resid_pre", entry: value}
    folder = saelens_folder(tmp_path, "standard", metadata=metadata)
    with pytest.raises(ValueError, match=rf"cfg\.json: .*{says}"):
        load_dictionary(folder)


def test_an_unknown_entry_is_reported_and_kept(tmp_path: Path) -> None:
    metadata = {**saelens_config("standard")["metadata"], "seqpos_slise": [1, None], "off": None}
    folder = saelens_folder(tmp_path, "standard", metadata=metadata)
    with pytest.warns(UserWarning, match="not used: seqpos_slise .*seqpos_slice"):
        dictionary = load_dictionary(folder)
    assert dictionary.metadata["seqpos_slise"] == [1, None]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_dictionary(folder, ignore=["seqpos_slise"])


def test_a_layer_that_contradicts_the_hook_point(tmp_path: Path) -> None:
    metadata = {"hook_name": "blocks.3.hook_resid_pre", "hook_layer": 2}
    with pytest.warns(UserWarning, match="hook_layer 2 contradicts hook_name"):
        load_dictionary(saelens_folder(tmp_path, "standard", metadata=metadata))


# Positions ----------------------------------------------------------------------------------------------------------


def by_hand(model: Any, tokens: torch.Tensor, dictionary: Dictionary, where: torch.Tensor) -> torch.Tensor:
    def replace(activation: torch.Tensor, hook: Any) -> torch.Tensor:
        return torch.where(where[..., None], dictionary(activation), activation)

    return model.run_with_hooks(tokens, fwd_hooks=[(HOOK, replace)])


def chosen(length: int, parts: list[Any]) -> list[int]:
    return list(range(length)[slice(*parts)])


@pytest.mark.parametrize("parts", SLICES)
@torch.no_grad()
def test_other_positions_stay_as_they_are(model: Any, tokens: torch.Tensor, parts: list[Any]) -> None:
    dictionary = dictionary_of(model, seqpos_slice=parts)
    where = torch.zeros(tokens.shape, dtype=torch.bool)
    where[:, chosen(9, parts)] = True
    with dictionary.attached(model, error_term=False):
        found = model(tokens)
    assert torch.equal(found, by_hand(model, tokens, dictionary, where))
    assert not torch.equal(found, model(tokens))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("parts", SLICES)
@torch.no_grad()
def test_positions_count_the_real_tokens_of_each_text(
    model: Any, tokens: torch.Tensor, side: str, parts: list[Any]
) -> None:
    dictionary = dictionary_of(model, seqpos_slice=parts)
    lengths = (9, 7, 8, 6)
    mask = torch.tensor(
        [[1] * n + [0] * (9 - n) if side == "right" else [0] * (9 - n) + [1] * n for n in lengths]
    )
    with dictionary.attached(model, error_term=False):
        together = model(Tokens(tokens, mask))
        for row, length in enumerate(lengths):
            alone = model(Tokens(tokens[row : row + 1][:, mask[row].bool()]))
            assert torch.allclose(together[row][mask[row].bool()], alone[0], atol=1e-10), length


@torch.no_grad()
def test_cached_generation_equals_generation_without_a_cache(model: Any, tokens: torch.Tensor) -> None:
    dictionary = dictionary_of(model, seqpos_slice=[2, None, 2])
    options: dict[str, Any] = {
        "max_new_tokens": 6,
        "stop_at_eos": False,
        "do_sample": False,
        "verbose": False,
    }
    with dictionary.attached(model, error_term=False):
        cached = model.generate(tokens[:, :4], **options)
        assert torch.equal(cached, model.generate(tokens[:, :4], use_past_kv_cache=False, **options))


@torch.no_grad()
def test_evaluations_leave_out_the_other_positions(model: Any, tokens: torch.Tensor) -> None:
    dictionary = dictionary_of(model, seqpos_slice=[2, -1])
    splice = spliced_loss(model, dictionary, tokens, HOOK)
    where = torch.zeros(tokens.shape, dtype=torch.bool)
    where[:, 2:-1] = True
    logits = by_hand(model, tokens, dictionary, where)
    losses = -logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]
    assert splice.predictions == 4 * 5
    assert splice.ce_spliced == pytest.approx(float(losses[:, 2:7].mean()), abs=1e-10)
    assert evaluate(dictionary, tokens, model=model, hook_name=HOOK).examples == 4 * 6
    (page,) = feature_pages(model, dictionary, tokens, HOOK, [3], neighbours=2)
    features = dictionary.encode(model.run_with_cache(tokens)[1][HOOK])[..., 3]
    assert page.density == pytest.approx(float((features[:, 2:-1] > 0).double().mean()))


def test_a_run_that_does_not_say_its_positions_is_refused(model: Any, tokens: torch.Tensor) -> None:
    dictionary = dictionary_of(model, seqpos_slice=[2, -1])
    residual = model(tokens, stop_at_layer=1)
    with dictionary.attached(model), pytest.raises(RuntimeError, match="does not say which positions"):
        model.blocks[0](residual)


def test_positions_leave_nothing_behind(model: Any, tokens: torch.Tensor) -> None:
    before = model(tokens)
    with dictionary_of(model, seqpos_slice=[2]).attached(model, error_term=False):
        pass
    assert torch.equal(model(tokens), before)
    assert not model._forward_pre_hooks
    assert not model._forward_hooks


def test_positions_are_kept_in_saelens_folders(model: Any, tmp_path: Path) -> None:
    save_saelens(dictionary_of(model, seqpos_slice=[5, -5], prepend_bos=False), tmp_path)
    assert json.loads((tmp_path / "cfg.json").read_text())["metadata"]["seqpos_slice"] == [5, -5]
    back = load_dictionary(tmp_path)
    assert (back.metadata["seqpos_slice"], back.metadata["prepend_bos"]) == ([5, -5], False)


# Special tokens and the model ------------------------------------------------------------------------------------


def test_excluded_tokens_are_left_out_of_evaluations(model: Any, tokens: torch.Tensor) -> None:
    plain = dictionary_of(model)
    dictionary = dictionary_of(model, exclude_special_tokens=[int(tokens[0, 3])])
    count = int((tokens != tokens[0, 3]).sum())
    assert evaluate(dictionary, tokens, model=model, hook_name=HOOK).examples == count < tokens.numel()
    everything = evaluate(dictionary, tokens, model=model, hook_name=HOOK, exclude_special_tokens=False)
    assert everything.examples == tokens.numel()
    assert evaluate(plain, tokens, model=model, hook_name=HOOK).examples == tokens.numel()


def uncentred(model: Any) -> None:
    with torch.no_grad():
        model.embed.W_E += 1


def centred(model: Any) -> None:
    with torch.no_grad():
        model.embed.W_E -= model.embed.W_E.mean(-1, keepdim=True)


@pytest.mark.parametrize(
    ("metadata", "change", "says"),
    [
        (
            {"model_from_pretrained_kwargs": {"center_writing_weights": False}},
            centred,
            "weights are centred",
        ),
        ({"model_from_pretrained_kwargs": {"center_writing_weights": True}}, uncentred, "are not centred"),
        ({"model_from_pretrained_kwargs": {"center_writing_weights": True}}, centred, ""),
        ({"model_from_pretrained_kwargs": {"center_writing_weights": False}}, uncentred, ""),
        ({"model_from_pretrained_kwargs": {"checkpoint_value": 8}}, uncentred, "checkpoint_value=8.*None"),
        (
            {"model_name": "gpt2-small"},
            lambda model: setattr(model.cfg, "model_name", "pythia-70m"),
            "trained on gpt2",
        ),
        ({"model_name": "gpt2"}, lambda model: setattr(model.cfg, "model_name", "gpt2-small"), ""),
        ({"model_name": "my-own"}, lambda model: None, ""),
    ],
)
def test_another_model_causes_a_warning(
    model: Any, tokens: torch.Tensor, metadata: dict[str, Any], change: Callable[[Any], None], says: str
) -> None:
    change(model)
    dictionary = dictionary_of(model, **metadata)
    uses: tuple[Callable[[], Any], ...] = (
        lambda: dictionary.attached(model).__enter__(),
        lambda: spliced_loss(model, dictionary, tokens, HOOK),
    )
    for use in reversed(uses):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            use()
        texts = [str(one.message) for one in caught]
        if says:
            with pytest.warns(UserWarning, match=says):
                for text in texts:
                    warnings.warn(text, stacklevel=1)
        else:
            assert not texts


@pytest.mark.parametrize("begins", [True, False])
@pytest.mark.parametrize("trained", [True, False])
def test_text_that_begins_otherwise_causes_a_warning(begins: bool, trained: bool) -> None:
    model = tiny_model(seed=3, dtype=torch.float64, d_vocab=len(Letters()), default_prepend_bos=begins)
    model.set_tokenizer(Letters())
    dictionary = dictionary_of(model, prepend_bos=trained)
    tokens = model.to_tokens(["abcd", "bcda"])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        spliced_loss(model, dictionary, tokens, HOOK)
        with dictionary.attached(model):
            pass
    texts = [str(one.message) for one in caught]
    assert len(texts) == (0 if begins == trained else 2)
    assert all(f"prepend_bos={trained}" in text for text in texts)


# dictionary_learning ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("buffer", "says"),
    [
        ({"io": "in_and_out"}, "io is 'in_and_out'"),
        ({"remove_bos": True}, "unknown settings: remove_bos"),
        ([128], "buffer must|must be a table of settings"),
    ],
)
def test_how_activations_were_gathered(buffer: Any, says: str, tmp_path: Path) -> None:
    folder = dictionary_learning_folder(tmp_path, "AutoEncoder")
    config = json.loads((folder / "config.json").read_text())
    config["buffer"] = {"d_submodule": 8, "io": "out", "n_ctxs": 3, "ctx_len": 128, "device": "cpu"}
    (folder / "config.json").write_text(json.dumps(config))
    load_dictionary_learning(folder)
    config["buffer"] = buffer
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=rf"config\.json, buffer: .*({says})"):
        load_dictionary_learning(folder)


@pytest.mark.peer
def test_every_setting_that_sparsify_writes_is_known() -> None:
    config = pytest.importorskip("sparsify.config", reason="the `peers` extra is not installed")
    assert {field.name for field in dataclasses.fields(config.SparseCoderConfig)} <= {"d_in", "k", *KNOWN}


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize(
    "hook", ["blocks.0.hook_resid_post", "blocks.1.hook_resid_pre", "blocks.0.hook_mlp_out"]
)
def test_a_dictionary_of_another_layer(model: Any, layer: int, hook: str) -> None:
    dictionary = dictionary_of(model, layer=layer)
    dictionary.metadata.pop("hook_name")
    if layer == 0 or (hook == "blocks.1.hook_resid_pre"):
        with dictionary.attached(model, hook):
            pass
    else:
        with pytest.raises(ValueError, match="metadata says layer=1"), dictionary.attached(model, hook):
            pass
        with dictionary.attached(model, hook, elsewhere=True):
            pass
