"""Other weights give other activations: whatever goes on from what lies on disk must notice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch

from mechscope.checkpoints.registry import BUNDLED
from mechscope.checkpoints.weights_checksum import checksum_of_files, checksum_of_parameters
from mechscope.dictionaries.building import build
from mechscope.dictionaries.config import TopKConfig
from mechscope.dictionaries.frontier.points import read_point, write_point
from mechscope.dictionaries.model_stream import ModelStream
from mechscope.dictionaries.shards import MANIFEST, ShardStream, write_shards
from mechscope.dictionaries.sources.models import model_checksum
from mechscope.dictionaries.stream import TensorStream
from mechscope.dictionaries.training import train
from mechscope.dictionaries.training_checkpoint import NAME
from mechscope.dictionaries.training_config import TrainingConfig
from mechscope.model.config import HookedTransformerConfig
from mechscope.model.transformer import HookedTransformer
from mechscope.runs.source_digest import source_digests
from tests.dictionaries.test_frontier import point

HOOK = "blocks.0.hook_resid_post"


def tiny(seed: int = 0) -> HookedTransformer:
    torch.manual_seed(seed)
    cfg = HookedTransformerConfig(
        n_layers=1, d_model=8, n_ctx=6, d_head=4, n_heads=2, d_vocab=20, attn_only=True, device="cpu"
    )
    return HookedTransformer(cfg)


def stream_of(model: HookedTransformer, seed: int = 1, weights: str | None = None) -> ModelStream:
    tokens = torch.randint(0, 20, (30, 6), generator=torch.Generator().manual_seed(seed))
    return ModelStream(model, tokens, HOOK, batch_size=20, buffer_size=60, weights=weights)


def change_one(model: HookedTransformer) -> None:
    """The smallest change that one weight of the last layer can have."""
    with torch.no_grad():
        weight = model.blocks[0].attn.W_O.view(-1)[5:6]
        weight.copy_(torch.nextafter(weight, weight + 1))


def learn(model: HookedTransformer, folder: Path, seed: int = 1):
    dictionary = build(TopKConfig(d_in=8, d_sae=16, k=2), 0)
    return train(dictionary, stream_of(model, seed), TrainingConfig(steps=3), folder=folder)


@pytest.mark.parametrize("seed", [0, 1])
def test_every_weight_counts(seed: int) -> None:
    first, again = tiny(seed), tiny(seed)
    assert checksum_of_parameters(first) == checksum_of_parameters(again)
    assert checksum_of_parameters(first) != checksum_of_parameters(tiny(seed + 2))
    for name, parameter in again.named_parameters():
        before = checksum_of_parameters(again)
        with torch.no_grad():
            parameter[(-1,) * parameter.ndim] += 1
        assert checksum_of_parameters(again) != before, name
    # The same numbers in another type are other weights.
    assert checksum_of_parameters(tiny(seed).double()) != checksum_of_parameters(first)


def test_a_model_in_a_folder_is_what_its_files_hold(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        shutil.copytree(BUNDLED / "mini-gelu-1l", folder)
    assert model_checksum(str(here)) == model_checksum(str(there)) == model_checksum("mini-gelu-1l")
    assert model_checksum("mini-gelu-1l-seed1") != model_checksum("mini-gelu-1l")
    (there / "card.md").write_text("about it")
    assert model_checksum(str(there)) == model_checksum(str(here))
    weights = bytearray((there / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (there / "model.safetensors").write_bytes(weights)
    assert model_checksum(str(there)) != model_checksum(str(here))
    config = json.loads((here / "config.json").read_text())
    before = model_checksum(str(here))
    (here / "config.json").write_text(json.dumps(config) + " ")
    assert model_checksum(str(here)) != before


def test_shards_of_weights_count_whatever_they_are_called(tmp_path: Path) -> None:
    shutil.copytree(BUNDLED / "mini-gelu-1l", tmp_path, dirs_exist_ok=True)
    state = safetensors.torch.load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    names = sorted(state)
    places = {name: f"part{number % 2}.safetensors" for number, name in enumerate(names)}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))

    def write() -> None:
        for part in set(places.values()):
            mine = {name: state[name] for name in names if places[name] == part}
            safetensors.torch.save_file(mine, tmp_path / part)

    write()
    before = model_checksum(str(tmp_path))
    write()
    assert model_checksum(str(tmp_path)) == before
    state[names[1]].view(-1)[0] += 1
    write()
    assert model_checksum(str(tmp_path)) != before


def test_files_are_one_after_another(tmp_path: Path) -> None:
    one, two, both = tmp_path / "1", tmp_path / "2", tmp_path / "3"
    one.write_bytes(b"a")
    two.write_bytes(b"b")
    both.write_bytes(b"ab")
    sums = {checksum_of_files(files) for files in ([one, two], [two, one], [both], [one])}
    assert len(sums) == 4


def test_a_training_goes_on_with_the_same_weights_only(tmp_path: Path) -> None:
    model = tiny()
    learn(model, tmp_path)
    learn(tiny(), tmp_path)
    change_one(model)
    with pytest.raises(
        ValueError, match=r"belongs to another training run: stream.made_from.model weights is"
    ):
        learn(model, tmp_path)
    with pytest.raises(ValueError, match=r"another training run: stream.made_from.tokens is"):
        learn(tiny(), tmp_path, seed=2)
    # Where files stand for the weights, rounding in memory is nobody's concern.
    assert stream_of(model, weights="abc").made_from() == stream_of(tiny(), weights="abc").made_from()


def test_ranks_with_other_weights_do_not_agree() -> None:
    model = tiny()
    before = stream_of(model).fingerprint()
    assert stream_of(tiny()).fingerprint() == before
    change_one(model)
    assert stream_of(model).fingerprint() != before


def forget(path: Path) -> None:
    """Make a checkpoint what an earlier version wrote."""
    with safetensors.safe_open(path, framework="pt") as file:
        described = json.loads(file.metadata()["training"])
    described["run"]["stream"].pop("made_from", None)
    tensors = safetensors.torch.load_file(path)
    safetensors.torch.save_file(tensors, path, {"training": json.dumps(described)})


def test_a_checkpoint_of_an_earlier_version_is_refused_in_words(tmp_path: Path) -> None:
    learn(tiny(), tmp_path)
    forget(tmp_path / NAME)
    with pytest.raises(
        ValueError, match=r"earlier version, which did not keep which weights .*remove the file"
    ):
        learn(tiny(), tmp_path)
    # Settings that differ are said first.
    dictionary = build(TopKConfig(d_in=8, d_sae=16, k=3), 0)
    with pytest.raises(ValueError, match="k is 2 there and 3 here"):
        train(dictionary, stream_of(tiny()), TrainingConfig(steps=3), folder=tmp_path)


def test_nothing_is_asked_of_activations_that_come_from_no_model(tmp_path: Path) -> None:
    x = torch.randn(60, 8, generator=torch.Generator().manual_seed(0))
    for _ in range(2):
        dictionary = build(TopKConfig(d_in=8, d_sae=16, k=2), 0)
        train(dictionary, TensorStream(x, batch_size=20), TrainingConfig(steps=3), folder=tmp_path)
        forget(tmp_path / NAME)


def test_shards_are_of_one_models_weights(tmp_path: Path) -> None:
    model = tiny()
    write_shards(stream_of(model), tmp_path, shards=1, batches=2)
    write_shards(stream_of(tiny()), tmp_path, shards=2, batches=2)
    assert ShardStream(tmp_path, batch_size=20).blocks() == 2
    change_one(model)
    with pytest.raises(ValueError, match="with other settings: made_from.model weights is"):
        write_shards(stream_of(model), tmp_path, shards=3, batches=2)
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    del manifest["made_from"]
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(
        ValueError, match=r"earlier version, which did not keep .*write the activations again"
    ):
        write_shards(stream_of(tiny()), tmp_path, shards=3, batches=2)


def test_points_are_of_one_models_weights(tmp_path: Path) -> None:
    file, kept = tmp_path / "p.json", point("topk", 2, 0.4)
    write_point(file, kept, "abc", {"model weights": "1", "tokens": "2"})
    assert read_point(file, "abc", {"model weights": "1", "tokens": "2"}) == kept
    with pytest.raises(ValueError, match="other activations: model weights is '1' there and '3' here"):
        read_point(file, "abc", {"model weights": "3", "tokens": "2"})
    assert read_point(file, "other settings", {"model weights": "3", "tokens": "2"}) is None
    write_point(file, kept, "abc")
    assert read_point(file, "abc") == kept
    with pytest.raises(ValueError, match="earlier version"):
        read_point(file, "abc", {"model weights": "1"})


def test_a_training_goes_on_with_the_same_code_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learn(tiny(), tmp_path)
    learn(tiny(), tmp_path)

    def edited(*modules: str) -> dict[str, str]:
        return {**source_digests(*modules), "mechscope/dictionaries/losses.py": "0" * 16}

    with monkeypatch.context() as patch:
        patch.setattr("mechscope.dictionaries.training.source_digests", edited)
        with pytest.raises(
            ValueError,
            match=r"another training run: its code has changed \(mechscope/dictionaries/losses\.py\)\. Give",
        ):
            learn(tiny(), tmp_path)
    with safetensors.safe_open(tmp_path / NAME, framework="pt") as file:
        described = json.loads(file.metadata()["training"])
    del described["run"]["source"]
    tensors = safetensors.torch.load_file(tmp_path / NAME)
    safetensors.torch.save_file(tensors, tmp_path / NAME, {"training": json.dumps(described)})
    with pytest.raises(ValueError, match="earlier version, which did not record the code"):
        learn(tiny(), tmp_path)


def test_points_of_other_code_are_computed_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file, kept, code = tmp_path / "p.json", point("topk", 2, 0.4), {"a.py": "1"}
    write_point(file, kept, "abc", source=code)
    assert read_point(file, "abc", source=code) == kept
    assert caplog.text == ""
    assert read_point(file, "abc", source={"a.py": "2"}) is None
    assert f"{file} belongs to another run: its code has changed (a.py)" in caplog.text
    assert read_point(file, "other settings", source=code) is None
    assert f"{file} belongs to another run: its settings have changed" in caplog.text
    described = json.loads(file.read_text())
    del described["source"]
    file.write_text(json.dumps(described))
    assert read_point(file, "abc", source=code) is None
    assert f"{file} was written by an earlier version" in caplog.text
    assert file.is_file()
