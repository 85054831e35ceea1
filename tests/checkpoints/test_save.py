"""Our own format: what is saved comes back, and nothing half-written is ever seen."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError

from mechscope.checkpoints import registry, save
from mechscope.checkpoints.load import load_model
from mechscope.checkpoints.save import save_model
from mechscope.model.transformer import HookedTransformer
from mechscope.storage.files import NotKeptError
from tests.checkpoints.tiny_encoders import tiny_bert
from tests.checkpoints.tiny_models import CONTEXT, token_ids
from tests.model.tiny import BASE, VARIANTS, assert_same_model, close

Tiny = Callable[[str], tuple[Any, Path]]
TOKENS = torch.tensor([[0, 7, 29, 3]])


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_kind_of_model_comes_back(variant: str, tmp_path: Path):
    model = HookedTransformer({**BASE, **VARIANTS[variant], "seed": 0})
    save_model(model, tmp_path / "model")
    again = load_model(tmp_path / "model", process=False)
    assert_same_model(again, model, TOKENS)
    changed = {name: value for name, value in again.cfg.to_dict().items()
               if value != model.cfg.to_dict()[name]}  # fmt: skip
    assert changed.keys() <= {"device", "seed", "init_weights", "initializer_range", "model_name"}


@pytest.mark.parametrize("name", ["gpt2", "gemma-3", "olmo-2", "llama-3"])
def test_a_processed_model_comes_back(tiny: Tiny, name: str, tmp_path: Path):
    model = load_model(tiny(name)[1])
    save_model(model, tmp_path / "model")
    tokens = token_ids(1, CONTEXT)
    assert_same_model(load_model(tmp_path / "model", process=False), model, tokens)
    torch.testing.assert_close(load_model(tmp_path / "model")(tokens), model(tokens), atol=1e-4, rtol=1e-4)


def test_tied_weights_are_stored_once(tiny: Tiny, tmp_path: Path):
    from safetensors import safe_open

    save_model(load_model(tiny("gpt2")[1], process=False), tmp_path / "model")
    with safe_open(tmp_path / "model" / "model.safetensors", "pt") as stored:
        assert "unembed.W_U" not in list(stored.keys())
    again = load_model(tmp_path / "model", process=False)
    assert again.W_U.untyped_storage().data_ptr() == again.W_E.untyped_storage().data_ptr()


def test_half_precision_on_disk_is_single_in_memory(tmp_path: Path):
    model = HookedTransformer({**BASE, "seed": 0})
    save_model(model, tmp_path / "model", dtype="float16", card="# A card\n")
    assert (tmp_path / "model" / "card.md").read_text() == "# A card\n"
    again = load_model(tmp_path / "model", process=False)
    assert again.W_E.dtype == torch.float32
    assert torch.equal(again.W_E, model.W_E.half().float())


def test_a_value_that_does_not_fit_is_an_error(tmp_path: Path):
    model = HookedTransformer({**BASE, "seed": 0})
    with torch.no_grad():
        model.W_E[0, 0] = 1e6
    with pytest.raises(ValueError, match=r"embed\.W_E does not fit into torch\.float16"):
        save_model(model, tmp_path / "model", dtype=torch.float16)
    with torch.no_grad():
        model.W_E[0, 0] = torch.nan
    with pytest.raises(ValueError, match="is not finite"):
        save_model(model, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_comes_back(tmp_path: Path):
    tiny_bert("BertForPreTraining").save_pretrained(tmp_path / "theirs")
    model = load_model(tmp_path / "theirs")
    save_model(model, tmp_path / "ours")
    again = load_model(tmp_path / "ours")
    tokens = token_ids(1, 9)
    assert type(again) is type(model)
    assert close(again(tokens), model(tokens))


def test_the_tokenizer_comes_along(data_folder: Path, tmp_path: Path):
    model = load_model(data_folder / "stories260k")
    save_model(model, tmp_path / "model")
    again = load_model(tmp_path / "model", process=False)
    text = "Once upon a time\nthere was 日本."
    assert torch.equal(again.to_tokens(text), model.to_tokens(text))
    assert again.tokenizer.decode(again.to_tokens(text)[0], skip_special_tokens=True) == text


@pytest.mark.parametrize(
    "error",
    [OSError("no space left on device"), SafetensorError("I/O error: no space left on device (os error 28)")],
)
def test_writing_that_fails_leaves_what_was_there(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    model = HookedTransformer({**BASE, "seed": 0})
    folder = save_model(model, tmp_path / "model")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(save, "save_file", full)
    with pytest.raises(NotKeptError, match="model could not be written .*no space"):
        save_model(HookedTransformer({**BASE, "seed": 1}), folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_of_ours_is_replaced_and_no_other(tmp_path: Path):
    folder = save_model(HookedTransformer({**BASE, "seed": 0}), tmp_path / "model")
    newer = HookedTransformer({**BASE, "seed": 1})
    save_model(newer, folder)
    assert_same_model(load_model(folder, process=False), newer, TOKENS)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.txt").write_text("years")
    with pytest.raises(FileExistsError, match="choose another"):
        save_model(newer, tmp_path / "work")
    assert (tmp_path / "work" / "thesis.txt").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"format_version": 99}, "upgrade mechscope"), ({"n_headz": 3}, "Did you mean n_heads")],
)
def test_a_config_from_elsewhere(tmp_path: Path, changes: dict[str, Any], said: str):
    folder = save_model(HookedTransformer({**BASE, "seed": 0}), tmp_path / "model")
    described = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**described, **changes}))
    with pytest.raises(ValueError, match=said):
        load_model(folder)


def test_wrong_tensors_of_a_saved_model_are_listed(tmp_path: Path):
    from safetensors.torch import load_file, save_file

    folder = save_model(HookedTransformer({**BASE, "seed": 0}), tmp_path / "model")
    state = load_file(folder / "model.safetensors")
    del state["blocks.1.attn.b_Q"]
    state["blocks.1.attn.W_Q"] = torch.ones(2, 2)
    save_file(state, folder / "model.safetensors")
    with pytest.raises(
        ValueError, match=r"1 missing: blocks.1.attn.b_Q \[.*\]; 1 of the wrong shape: blocks.1.attn.W_Q"
    ):
        load_model(folder)


def test_bundled_models_are_listed_and_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model = HookedTransformer({**BASE, "seed": 0})
    save_model(model, tmp_path / "small-one", dtype="float16")
    (tmp_path / "unfinished").mkdir()
    monkeypatch.setattr(registry, "BUNDLED", tmp_path)
    assert registry.bundled_names() == ["small-one"]
    assert registry.model_names()[0] == "small-one"
    assert load_model("small-one").cfg.model_name == "small-one"
    assert registry.nearest_names("smallone")[0] == "small-one"


def test_every_bundled_model_loads():
    for name in registry.bundled_names():
        assert load_model(name).cfg.model_name == name
        assert (registry.BUNDLED / name / "card.md").is_file()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"n_layers": 2**40}, "n_layers must be a whole number"),
        ({"n_layers": 9_999}, "do not fit the config"),
        ({"class": "HookedEncoder", "n_layers": 9_999}, "says n_layers=9999, but the weights have 2 blocks"),
        ({"class": 5}, "class must be the name of a class"),
        ({"format_version": "1"}, "format version '1'"),
        ({"eps": -1}, "eps must be a number of at least 0"),
        ({"d_vocab": 2**31 - 1}, r"embed.W_E \[30, 8\] instead of \[2147483647, 8\]"),
    ],
)
def test_a_damaged_config_is_refused_at_once(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    sizes = {"n_layers": 2, "d_model": 8, "n_ctx": 6, "d_head": 4, "d_vocab": 30, "act_fn": "gelu"}
    folder = save_model(HookedTransformer(sizes), tmp_path / "model")
    described = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**described, **changes}))
    with pytest.raises(ValueError, match=said) as caught:
        load_model(folder)
    assert str(folder) in str(caught.value)
