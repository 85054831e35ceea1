"""Subjects are saved in float16 and read back, and bad folders are explained."""

import json

import pytest
import torch

import mechscope as ms
from mechscope.checkpoints.cards import read_card
from mechscope.checkpoints.listing import list_models
from mechscope.subjects import (
    DigitsCNN,
    DigitsCNNConfig,
    GridAgent,
    load_subject,
    save_subject,
    subject_names,
)
from mechscope.subjects.bundled_folders import BUNDLED


@pytest.mark.parametrize(
    "made", [DigitsCNN(DigitsCNNConfig(channels=(3,), d_hidden=5), seed=7), GridAgent(seed=7)]
)
def test_a_subject_comes_back_in_half_precision(tmp_path, made):
    read = load_subject(save_subject(made, tmp_path / "some"))
    assert type(read) is type(made) and read.config == made.config
    for name, tensor in made.state_dict().items():
        assert torch.equal(read.state_dict()[name], tensor.half().float())
    assert all(parameter.requires_grad for parameter in read.parameters())


def test_an_unknown_name_is_suggested():
    with pytest.raises(ValueError, match=r"'digit-cnn'\. Did you mean digits-cnn\?"):
        load_subject("digit-cnn")


def test_a_folder_without_a_subject_is_explained(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"subject\.json is missing\. mechscope\.load_model"):
        load_subject(tmp_path)
    save_subject(GridAgent(), tmp_path / "some")
    (tmp_path / "some" / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors is missing"):
        load_subject(tmp_path / "some")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": "something"}, "this mechscope reads “mechscope subject” version 1"),
        ({"format_version": 2}, "version 2; this mechscope reads"),
        ({"class": "Perceptron"}, "known classes are DigitsCNN, GridAgent"),
        ({"config": {"sides": 7}}, "sides"),
        ({"config": {"d_hidden": 3}}, "hidden.weight"),
    ],
)
def test_a_description_that_does_not_fit_is_explained(tmp_path, changes, words):
    folder = save_subject(GridAgent(), tmp_path / "some")
    described = json.loads((folder / "subject.json").read_text())
    (folder / "subject.json").write_text(json.dumps(described | changes))
    with pytest.raises(ValueError, match=words):
        load_subject(folder)


def test_nothing_else_is_overwritten(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="choose another folder"):
        save_subject(GridAgent(), tmp_path)
    agent = GridAgent()
    with torch.no_grad():
        agent.value.bias.fill_(1e6)
    with pytest.raises(ValueError, match=r"value\.bias: not finite in float16"):
        save_subject(agent, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_bundled_subjects_are_listed_with_cards_and_are_small():
    listed = {model.name: model for model in list_models() if model.family.endswith("(load_subject)")}
    assert list(listed) == subject_names()
    assert {model.where for model in listed.values()} == {"bundled"}
    assert all(read_card(name).startswith(f"# {name}\n") for name in subject_names())
    assert sum(path.stat().st_size for path in BUNDLED.rglob("*") if path.is_file()) <= 1e6


def test_other_loaders_name_the_right_one():
    with pytest.raises(ValueError, match="image models and agents are loaded by load_subject"):
        ms.load_model("digits-cnn")
    with pytest.raises(ValueError, match=r"mechscope\.load_subject\('grid-agent'\) loads it"):
        ms.load_toy_models("grid-agent")
    with pytest.raises(ValueError, match=r"mechscope\.load_model loads transformers"):
        load_subject("mini-gelu-1l")
