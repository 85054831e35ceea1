import json

import pytest
import torch

from mechscope import load_model
from mechscope.checkpoints import registry as names
from mechscope.labs.claim import Condition
from mechscope.recipes.making import MissedConditionsError, make, measure
from mechscope.recipes.registry import MODULES, check_name

from .tiny_recipe import KilledError, Tiny, TinyConfig, tiny_recipe

CONFIG = TinyConfig()


@pytest.mark.parametrize("seed", [0, 3])
def test_a_killed_making_goes_on_and_gives_the_same_model(tmp_path, seed):
    whole, broken, again = Tiny(CONFIG, seed), Tiny(CONFIG, seed, die_at=17), Tiny(CONFIG, seed)
    make(tiny_recipe(whole, 9.0), tmp_path / "whole", work=tmp_path / "a")
    with pytest.raises(KilledError):
        make(tiny_recipe(broken, 9.0), tmp_path / "resumed", work=tmp_path / "b")
    assert not (tmp_path / "resumed").exists()
    make(tiny_recipe(again, 9.0), tmp_path / "resumed", work=tmp_path / "b")
    assert again.steps_done == list(range(17, 40))
    first, second = (load_model(tmp_path / name, process=False).state_dict() for name in ("whole", "resumed"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_what_is_written(tmp_path):
    tiny = Tiny(CONFIG, 1)
    recipe = tiny_recipe(tiny, 9.0)
    folder = make(recipe, tmp_path / "tiny", work=tmp_path / "work")
    written = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
    # What the file says is what the folder gives when it is read and measured again.
    assert written["figures"]["loss"] == pytest.approx(measure(recipe, folder)["loss"], rel=1e-5)
    assert written["checkpoints"] == [0, 10, 40]
    assert written["conditions"][0]["held"] is True
    card = (folder / "card.md").read_text(encoding="utf-8")
    assert f"{written['figures']['loss']:.3f} nats" in card
    assert "mechscope models train tiny" in card and "{" not in card
    assert {path.name for path in tmp_path.iterdir()} == {"tiny", "work"}


def test_checkpoints_load_as_the_steps_they_are(tmp_path, monkeypatch):
    tiny = Tiny(CONFIG, 2)
    make(tiny_recipe(tiny, 9.0), tmp_path / "tiny", work=tmp_path.parent / f"{tmp_path.name}-work")
    monkeypatch.setattr(names, "BUNDLED", tmp_path)
    final = load_model("tiny", process=False)
    last = load_model("tiny", process=False, checkpoint_index=-1)
    first = load_model("tiny", process=False, checkpoint_value=0)
    assert last.cfg.checkpoint_value == 40 and first.cfg.checkpoint_index == 0
    assert torch.equal(final.W_E, last.W_E)
    torch.testing.assert_close(first.W_E, tiny.model().W_E, atol=1e-3, rtol=1e-3)
    assert not torch.equal(first.W_E, last.W_E)
    with pytest.raises(ValueError, match="nearest are 10 and 0"):
        load_model("tiny", checkpoint_value=8)
    with pytest.raises(ValueError, match="has 3 checkpoints"):
        load_model("tiny", checkpoint_index=3)
    with pytest.raises(ValueError, match="no revisions"):
        load_model("tiny", revision="main")


def test_a_model_without_checkpoints_says_so(tmp_path, monkeypatch):
    config = TinyConfig(steps=2, keep=(2,))
    tiny = Tiny(config, 0)
    recipe = tiny_recipe(
        tiny, 9.0, train=lambda workspace: type(made := tiny.train(workspace))(made.model, made.words)
    )
    make(recipe, tmp_path / "tiny", work=tmp_path.parent / f"{tmp_path.name}-work")
    monkeypatch.setattr(names, "BUNDLED", tmp_path)
    with pytest.raises(ValueError, match="only its final weights"):
        load_model("tiny", checkpoint_index=0)


def test_a_model_that_misses_a_condition_is_not_put_in_place(tmp_path):
    tiny = Tiny(CONFIG, 0)
    with pytest.raises(
        MissedConditionsError, match=r"loss on constant sequences should be ≤\s0\.01, was 0\."
    ):
        make(tiny_recipe(tiny, 0.01), tmp_path / "tiny", work=tmp_path / "work")
    assert not (tmp_path / "tiny").exists()
    # Kept beside, to be looked at.
    assert load_model(tmp_path / "work" / "model").cfg.n_layers == 1
    again = Tiny(CONFIG, 0)
    make(tiny_recipe(again, 9.0), tmp_path / "tiny", work=tmp_path / "work")
    assert again.steps_done == []


def test_shuffled_weights_miss_the_condition(tmp_path):
    tiny = Tiny(CONFIG, 0)
    folder = make(tiny_recipe(tiny, 9.0), tmp_path / "tiny", work=tmp_path / "work")
    trained = measure(tiny_recipe(tiny, 9.0), folder)["loss"]
    untrained = float(tiny.measure(tiny.model())["loss"])
    assert not Condition("loss", "loss", high=(trained + untrained) / 2).holds({"loss": untrained})


def test_errors_come_before_any_work(tmp_path):
    tiny = Tiny(CONFIG, 0)
    with pytest.raises(FileNotFoundError, match="tiny cannot be made here: no corpus"):
        make(tiny_recipe(tiny, 9.0, missing=lambda: "no corpus"), tmp_path / "tiny", work=tmp_path / "work")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "letter.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(FileExistsError, match="choose another"):
        make(tiny_recipe(tiny, 9.0), tmp_path / "taken", work=tmp_path / "work")
    with pytest.raises(ValueError, match="device is one of"):
        make(tiny_recipe(tiny, 9.0), tmp_path / "tiny", work=tmp_path / "work", device="abacus")
    assert tiny.steps_done == []
    assert not (tmp_path / "work").exists()


def test_a_card_with_nothing_to_fill_in_is_an_error(tmp_path):
    tiny = Tiny(TinyConfig(steps=2, keep=(2,)), 0)
    with pytest.raises(ValueError, match="nothing for licence"):
        make(tiny_recipe(tiny, 9.0, card="{licence}"), tmp_path / "tiny", work=tmp_path / "work")


def test_a_recipe_without_conditions_is_an_error(tmp_path):
    tiny = Tiny(TinyConfig(steps=2, keep=(2,)), 0)
    with pytest.raises(ValueError, match="any weights at all would pass"):
        make(tiny_recipe(tiny, 9.0, conditions=()), tmp_path / "tiny", work=tmp_path / "work")


def test_names():
    assert check_name("mini-gelu-3l") == "mini-gelu-3l"
    assert len(MODULES) == 22
    with pytest.raises(KeyError, match="Did you mean mini-solu-2l"):
        check_name("mini-solo-2l")
