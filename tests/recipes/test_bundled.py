"""Every bundled model that has a recipe, as it lies in the package."""

import dataclasses
import json
from itertools import pairwise

import pytest
import torch

from mechscope import load_model
from mechscope.checkpoints.registry import BUNDLED, bundled_names, toy_model_names
from mechscope.recipes.making import judge, measure
from mechscope.recipes.registry import KINDS, MODULES, find_recipe

MADE = [name for name in (*bundled_names(), *toy_model_names()) if name in MODULES]
MEMBERS = [name for name in MADE if name.startswith("mini-")]


def test_the_family_is_there():
    assert {f"mini-{kind}-{layers}l" for kind in KINDS for layers in (1, 2, 3, 4)} <= {*MEMBERS}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name == "ioi-twin" else ()) for name in MADE]
)
def test_its_figures_are_what_it_measures_now(name):
    recipe = find_recipe(name)
    written = json.loads((BUNDLED / name / "figures.json").read_text(encoding="utf-8"))
    figures = measure(recipe, BUNDLED / name)
    # Another processor adds up in another order.
    assert figures == pytest.approx(written["figures"], rel=1e-3, abs=1e-4)
    assert [one.condition.what for one in judge(recipe, figures) if not one.held] == []


@pytest.mark.parametrize("name", MADE)
def test_it_was_made_with_the_settings_of_its_recipe(name):
    recipe = find_recipe(name)
    written = json.loads((BUNDLED / name / "figures.json").read_text(encoding="utf-8"))
    now = json.loads(json.dumps(dataclasses.asdict(recipe.config), default=str))
    assert (written["seed"], written["config"]) == (recipe.seed, now)


@pytest.mark.parametrize("name", MEMBERS)
def test_a_card_says_what_the_figures_file_says(name):
    card = (BUNDLED / name / "card.md").read_text(encoding="utf-8")
    written = json.loads((BUNDLED / name / "figures.json").read_text(encoding="utf-8"))
    recipe = find_recipe(name)
    assert card == recipe.card.format(**{**written["words"], **written["figures"]})


@pytest.mark.parametrize("name", MEMBERS)
def test_text_goes_in_and_comes_back(name):
    model = load_model(name)
    for text in ("It was a dark night.\n", "def f(x):\n    return x\n", "naïve – 漢字 \x00"):
        tokens = model.to_tokens(text)
        assert tokens[0, 0] == model.tokenizer.bos_token_id == 0
        assert model.tokenizer.decode(tokens[0, 1:]) == text
    assert model.cfg.d_vocab == len(model.tokenizer)
    assert isinstance(model.generate("The ", max_new_tokens=3, verbose=False), str)


def test_members_share_one_tokenizer():
    assert len({(BUNDLED / name / "tokenizer.json").read_bytes() for name in MEMBERS}) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mini-attn-only-1l", "mini-attn-only-2l"])
def test_the_phase_change_can_be_watched(name):
    recipe = find_recipe(name)
    steps = [*recipe.config.keep, recipe.config.steps]
    assert len(steps) >= 8
    gains = []
    for index, step in enumerate(steps):
        model = load_model(name, process=False, checkpoint_index=index)
        assert model.cfg.checkpoint_value == step
        gains.append(recipe.measure(model)["gain"])
    assert abs(gains[0]) < 0.1
    final = load_model(name, process=False)
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in final.state_dict().items())
    rise = max(later - earlier for earlier, later in pairwise(gains))
    # Abrupt: with two layers, one stretch between two checkpoints brings a good part of all there is to gain.
    assert (rise > 1.0) == (name == "mini-attn-only-2l")


@pytest.mark.parametrize("name", ["mini-gelu-2l", "mini-attn-only-4l"])
@pytest.mark.parametrize("seed", [0, 1])
def test_shuffled_weights_fail_the_conditions(name, seed):
    recipe = find_recipe(name)
    model = load_model(name, process=False)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            order = torch.randperm(parameter.numel(), generator=generator)
            parameter.copy_(parameter.flatten()[order].view(parameter.shape))
    assert not any(one.held for one in judge(recipe, recipe.measure(model)))


def test_a_model_that_says_the_same_everywhere_fails():
    recipe = find_recipe("mini-gelu-1l")
    model = load_model("mini-gelu-1l", process=False)
    with torch.no_grad():
        model.unembed.W_U.zero_()
        model.unembed.b_U.zero_()
    missed = [one.condition.measure for one in judge(recipe, recipe.measure(model)) if not one.held]
    assert missed == ["loss_books", "loss_code"]


def test_all_bundled_files_are_small():
    total = sum(path.stat().st_size for path in BUNDLED.rglob("*") if path.is_file())
    assert total <= 25e6
