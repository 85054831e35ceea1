"""Collections of toy models are written, read back and checked."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

import mechscope
from mechscope.checkpoints import registry
from mechscope.checkpoints.toy_models import BUNDLED, WEIGHTS, ToyCollection, load_toy_models, save_toy_models
from mechscope.checkpoints.toy_networks import Group, ModelKind, ToyModels, TrainedGroup
from mechscope.labs.superposition.gradients import initial_models
from mechscope.labs.superposition.training import geometric
from tests.damage import Kind, assert_damage_is_noticed


def some_group(name: str, kind: ModelKind, seed: int, starts: int = 2) -> TrainedGroup:
    importance = geometric(4, 0.9, 3) if kind == "linear" else ((1.0,) * 4, (0.5,) * 4, (0.25,) * 4)
    group = Group(name, 4, 2, (1.0, 0.3, 0.1), importance, starts=9, steps=10, model=kind)
    models = initial_models(kind, 3, starts, 2, 4, torch.Generator().manual_seed(seed))
    rounded = {name: value.half().float() for name, value in models.parameters().items()}
    models = ToyModels(kind, rounded["W"], rounded.get("W_out", rounded["W"]), rounded["b"])
    loss = torch.rand(3, starts, generator=torch.Generator().manual_seed(seed))
    return TrainedGroup(group, models, loss)


def some_collection(seed: int = 0) -> ToyCollection:
    groups = (some_group("one", "linear", seed), some_group("two", "untied", seed, starts=1))
    return ToyCollection({group.group.name: group for group in groups})


@pytest.mark.parametrize("seed", [0, 1])
def test_what_was_written_is_read_back(tmp_path: Path, seed: int) -> None:
    collection = some_collection(seed)
    read = load_toy_models(save_toy_models(collection, tmp_path / "some"))
    assert [*read] == ["one", "two"] and len(read) == 2
    for name, group in collection.items():
        assert read[name].group == group.group
        assert torch.equal(read[name].loss, group.loss)
        for key, value in group.models.parameters().items():
            assert torch.equal(read[name].models.parameters()[key], value)
        x = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(seed))
        # Equal weights at other addresses may be multiplied in another order.
        torch.testing.assert_close(read[name].models(x), group.models(x))
    assert read.n_networks == 3 * 2 + 3 * 1
    assert read.n_parameters == 6 * (8 + 4) + 3 * (16 + 4)
    assert repr(read) == "<9 toy models in 2 groups: one, two>"
    # Importances that are the same everywhere are written once.
    described = json.loads((tmp_path / "some" / "toy_models.json").read_text(encoding="utf-8"))
    assert [len(group["importance"]) for group in described["groups"].values()] == [1, 3]
    save_toy_models(some_collection(seed + 5), tmp_path / "some")
    assert not torch.equal(load_toy_models(tmp_path / "some")["one"].models.W, collection["one"].models.W)


def test_the_network_of_a_density(tmp_path: Path) -> None:
    group = some_group("one", "linear", 0)
    for density, setting in ((1.0, 0), (0.6, 0), (0.5, 1), (0.3, 1), (0.12, 2), (1e-6, 2)):
        start = int(group.loss[setting].argmin())
        assert torch.equal(group.at(density).W[0, 0], group.models.W[setting, start])
    for density in (0.0, -1.0, 1.5):
        with pytest.raises(ValueError, match="a density is a probability above 0 and at most 1, not"):
            group.at(density)
    grid = dataclasses.replace(group, group=dataclasses.replace(group.group, density=(0.5, 0.5, 0.1)))
    with pytest.raises(ValueError, match="one has several settings at one density"):
        grid.at(0.5)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    collection = some_collection()
    with pytest.raises(
        KeyError, match=r"there is no group 'onne'\. Did you mean one\? The groups are one, two\."
    ):
        collection["onne"]
    with pytest.raises(
        ValueError, match=r"'superposition-instance'\. Did you mean superposition-instances\?"
    ):
        load_toy_models("superposition-instance")
    for transformer in ("mini-gelu-2l", "gpt2-small"):
        with pytest.raises(ValueError, match=rf"{transformer} is a transformer: mechscope\.load_model\("):
            load_toy_models(transformer)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"contains no toy models: toy_models\.json is missing"):
        load_toy_models(tmp_path / "empty")


def test_load_model_names_what_loads_toy_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_toy_models(some_collection(), tmp_path / "toys")
    with pytest.raises(ValueError, match=r"not a transformer: mechscope\.load_toy_models\("):
        mechscope.load_model(folder)
    monkeypatch.setattr(registry, "BUNDLED", tmp_path)
    assert registry.toy_model_names() == ["toys"] and registry.bundled_names() == []
    monkeypatch.chdir(tmp_path.parent)
    with pytest.raises(ValueError, match=r"load_toy_models\('toys'\) loads it"):
        mechscope.load_model("toys")
    with pytest.raises(ValueError, match="Did you mean toys"):
        mechscope.load_model("toyss")
    assert [*mechscope.load_toy_models("toys")] == ["one", "two"]


def damaged(folder: Path, change) -> Path:
    path = folder / "toy_models.json"
    described = json.loads(path.read_text(encoding="utf-8"))
    change(described)
    path.write_text(json.dumps(described), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(format="something"), "it is “something” version 1"),
        (lambda d: d.update(format_version=9), "up to version 1"),
        (lambda d: d.pop("groups"), "does not describe toy models: 'groups'"),
        (lambda d: d["groups"]["one"].update(colour="red"), "colour"),
        (lambda d: d["groups"]["one"].update(density=[1.0, 0.5], importance=[[1.0] * 3]), "has 4 features"),
        (lambda d: d["groups"]["one"].update(n_hidden=3), r"one\.W \[3, 2, 2, 4\] instead of \[3, 2, 3, 4\]"),
        (lambda d: d["groups"].pop("two"), r"4 unexpected: two\.W"),
        (lambda d: d["groups"].update(three=d["groups"]["one"]), r"3 missing: three\.loss .*three\.W "),
    ],
)
def test_files_that_do_not_fit_say_how(tmp_path: Path, change, message: str) -> None:
    folder = save_toy_models(some_collection(), tmp_path / "some")
    with pytest.raises(ValueError, match=message):
        load_toy_models(damaged(folder, change))


def test_weights_that_are_cut_short(tmp_path: Path) -> None:
    folder = save_toy_models(some_collection(), tmp_path / "some")
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="not a complete safetensors file"):
        load_toy_models(folder)
    (folder / WEIGHTS).unlink()
    with pytest.raises(FileNotFoundError, match=r"contains no weights: model\.safetensors is missing"):
        load_toy_models(folder)


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(FileExistsError, match="contains no toy models"):
        save_toy_models(some_collection(), tmp_path)
    group = some_group("one", "linear", 0)

    def with_W(value: float) -> ToyCollection:
        W: Tensor = group.models.W.clone()
        W[0, 0, 0, 0] = value
        return ToyCollection(
            {"one": dataclasses.replace(group, models=dataclasses.replace(group.models, W=W))}
        )

    for value in (1e6, float("nan")):
        with pytest.raises(ValueError, match=r"one\.W: not finite in float16"):
            save_toy_models(with_W(value), tmp_path / "broken")
    assert not (tmp_path / "broken").exists()


def test_the_bundled_collection_is_the_default() -> None:
    assert [*load_toy_models()] == [*load_toy_models(BUNDLED)]


@pytest.mark.parametrize("seed", range(2))
def test_damaged_collections_are_named(seed: int, tmp_path: Path) -> None:
    def read(folder: Path) -> object:
        return {name: group.models.W for name, group in load_toy_models(folder).items()}

    kind = Kind(lambda folder: save_toy_models(some_collection(), folder), read)
    assert assert_damage_is_noticed(kind, tmp_path, seed, amount=10) > 20


def test_toy_weights_that_are_not_finite_are_named(tmp_path: Path) -> None:
    folder = save_toy_models(some_collection(), tmp_path / "toys")
    state = safetensors.torch.load_file(folder / WEIGHTS)
    state["one.b"][0] = torch.nan
    safetensors.torch.save_file(state, folder / WEIGHTS)
    with pytest.raises(
        ValueError, match=r"model\.safetensors.*one\.b has \d+ of \d+ values that are not finite"
    ):
        load_toy_models(folder)
