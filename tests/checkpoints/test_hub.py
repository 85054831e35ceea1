"""Where a named model is looked for, with every socket blocked."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mechscope.checkpoints import hub
from mechscope.checkpoints.load import load_model
from tests.checkpoints.tiny_models import token_ids

Tiny = Callable[[str], tuple[Any, Path]]


@pytest.fixture(autouse=True)
def nothing_in_reach(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """No network, an empty hub cache, no data folder; returns the attempts to connect."""
    attempts: list[Any] = []

    def refuse(*arguments: Any, **_: Any) -> Any:
        attempts.append(arguments)
        raise OSError("the network is blocked in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.delenv("MECHSCOPE_DATA", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    return attempts


def test_a_folder_needs_no_network(tiny: Tiny, nothing_in_reach: list[Any]):
    _, folder = tiny("gpt2")
    load_model(folder)
    load_model(str(folder), process=False)
    assert nothing_in_reach == []


def test_offline_a_hub_name_gives_one_sentence(monkeypatch: pytest.MonkeyPatch, nothing_in_reach: list[Any]):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(FileNotFoundError) as caught:
        load_model("gpt2-small")
    message = str(caught.value)
    assert message.startswith("'gpt2' is not on this machine and")
    assert "https://huggingface.co/openai-community/gpt2" in message
    assert "$MECHSCOPE_DATA/gpt2" in message
    assert message.count(". ") == 0  # one sentence
    assert "\n" not in message
    assert nothing_in_reach == []


def test_an_unreachable_hub_gives_the_same_sentence(
    monkeypatch: pytest.MonkeyPatch, nothing_in_reach: list[Any]
):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(FileNotFoundError, match="cannot be reached: load it once with network access"):
        load_model("roneneldan/TinyStories-1M")


def test_the_hub_cache_is_used_offline(tiny: Tiny, tmp_path: Path):
    theirs, folder = tiny("gpt2")
    repository = tmp_path / "hub-cache" / "models--openai-community--gpt2"
    shutil.copytree(folder, repository / "snapshots" / ("a" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    model = load_model("gpt2-small", process=False)
    assert model.cfg.model_name == "gpt2"
    assert torch.equal(model.W_E, theirs.transformer.wte.weight)


def test_an_incomplete_cache_is_passed_over(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    _, folder = tiny("gpt2")
    repository = tmp_path / "hub-cache" / "models--openai-community--gpt2"
    snapshot = Path(shutil.copytree(folder, repository / "snapshots" / ("a" * 40)))
    (snapshot / "model.safetensors").unlink()
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    with pytest.raises(FileNotFoundError, match="not on this machine"):
        load_model("gpt2")


def test_the_data_folder(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MECHSCOPE_DATA", str(tmp_path))
    _, folder = tiny("pythia")
    shutil.copytree(folder, tmp_path / "models" / "pythia-70m")
    shutil.copytree(tiny("neox-sequential")[1], tmp_path / "pythia-70m" / "step1000")
    assert load_model("EleutherAI/pythia-70m").cfg.parallel_attn_mlp
    early = load_model("pythia-70m", checkpoint_value=1000)
    assert not early.cfg.parallel_attn_mlp
    assert (early.cfg.checkpoint_index, early.cfg.checkpoint_value) == (11, 1000)
    assert load_model("pythia-70m", revision="step1000").cfg.checkpoint_value is None


def test_a_name_of_the_users_own_in_the_data_folder(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MECHSCOPE_DATA", str(tmp_path))
    shutil.copytree(tiny("gpt2")[1], tmp_path / "models" / "my-model")
    assert load_model("my-model").cfg.model_name == "my-model"


def test_a_folder_in_the_working_directory(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It goes before the name, unless it merely happens to be called like a model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "gpt2").mkdir()
    with pytest.raises(FileNotFoundError, match="not on this machine"):
        load_model("gpt2")
    shutil.copytree(tiny("gpt2")[1], tmp_path / "gpt2", dirs_exist_ok=True)
    assert load_model("gpt2").cfg.d_model == 21


def test_toy_model_with_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Attention-only toy models keep `config.json`, `model_final.pth` and `checkpoints/…_<tokens>.pth`."""
    from mechscope.model.transformer import HookedTransformer

    monkeypatch.setenv("MECHSCOPE_DATA", str(tmp_path))
    described = {"d_model": 16, "n_layers": 2, "d_mlp": 64, "d_head": 8, "n_heads": 2, "n_ctx": 12,
                 "d_vocab": 61, "act_fn": "solu_ln", "attn_only": True, "shortformer_pos": True,
                 "normalization": "LN", "lr": 1e-3, "tokenizer_name": "some/tokenizer"}  # fmt: skip
    folder = tmp_path / "attn-only-2l"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(described))
    original = HookedTransformer(
        {"n_layers": 2, "d_model": 16, "n_ctx": 12, "d_head": 8, "d_vocab": 61, "attn_only": True,
         "positional_embedding_type": "shortformer", "seed": 3}
    )  # fmt: skip
    state = dict(original.state_dict())
    state["blocks.0.attn.mask"] = torch.ones(12, 12, dtype=torch.bool).tril()
    state["blocks.0.attn.IGNORE"] = torch.tensor(-1e5)
    torch.save(state, folder / "model_final.pth")
    torch.save({k: v * 2 if k == "embed.W_E" else v for k, v in state.items()},
               folder / "checkpoints" / "tokens_000400.pth")  # fmt: skip
    model = load_model("attn-only-2l", process=False)
    tokens = token_ids(2, 12)
    assert model.cfg.positional_embedding_type == "shortformer"
    torch.testing.assert_close(model(tokens), original(tokens))
    early = load_model("attn-only-2l", checkpoint_value=400, process=False)
    assert early.cfg.checkpoint_value == 400
    torch.testing.assert_close(early.W_E, original.W_E * 2)


def test_what_would_be_fetched():
    files = [
        "config.json",
        "README.md",
        "model.safetensors",
        "pytorch_model.bin",
        "tokenizer.json",
        "onnx/model.onnx",
    ]
    assert hub.choose_files(files) == ["config.json", "tokenizer.json", "model.safetensors"]
    shards = ["config.json", "model.safetensors.index.json", "model-00001-of-00002.safetensors"]
    assert hub.choose_files([*shards, "model-00002-of-00002.safetensors"]) == [
        *shards, "model-00002-of-00002.safetensors"
    ]  # fmt: skip
    assert hub.choose_files(["config.json", "tf_model.h5"]) == []
    toy = ["config.json", "model_final.pth", "checkpoints/tokens_40.pth"]
    assert hub.choose_files(toy) == ["config.json", "model_final.pth"]
    assert hub.choose_files(toy, r"_0*40\.pth$") == ["config.json", "checkpoints/tokens_40.pth"]


def test_only_named_models_have_revisions(tiny: Tiny):
    _, folder = tiny("gpt2")
    with pytest.raises(ValueError, match="models given by name"):
        load_model(folder, revision="main")
