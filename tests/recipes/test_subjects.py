"""The bundled image models and agents, measured again, and what their recipes would refuse."""

import dataclasses
import json

import pytest
import torch

from mechscope.recipes.making import judge, measure
from mechscope.recipes.registry import find_recipe
from mechscope.subjects import subject_names
from mechscope.subjects.bundled_folders import BUNDLED


def written(name):
    return json.loads((BUNDLED / name / "figures.json").read_text(encoding="utf-8"))


def test_the_subjects_are_there():
    assert subject_names() == ["digits-cnn", "digits-cnn-seed1", "grid-agent", "grid-agent-anywhere"]


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * name.endswith("seed1")) for name in subject_names()],
)
def test_its_figures_are_what_it_measures_now(name):
    recipe, found = find_recipe(name), written(name)
    figures = measure(recipe, BUNDLED / name)
    assert set(figures) == set(found["figures"])
    for figure, value in figures.items():
        # Another processor adds up in another order, and a single level or image may turn out differently.
        tolerance = 0.01 if figure == "loss" or figure.endswith("_value") else 0.7
        assert value == pytest.approx(found["figures"][figure], abs=tolerance), figure
    assert [one.condition.what for one in judge(recipe, figures) if not one.held] == []


@pytest.mark.parametrize("name", subject_names())
def test_it_was_made_by_its_recipe_and_its_card_says_so(name):
    recipe, found = find_recipe(name), written(name)
    now = json.loads(json.dumps(dataclasses.asdict(recipe.config), default=str))
    assert (found["seed"], found["config"]) == (recipe.seed, now)
    card = (BUNDLED / name / "card.md").read_text(encoding="utf-8")
    assert card == recipe.card.format(**{**found["words"], **found["figures"]})
    assert all(f"seed {seed}" in found["words"]["seeds"] for seed in recipe.config.seeds)


@pytest.mark.parametrize("name", [pytest.param("digits-cnn", marks=pytest.mark.slow), "grid-agent-anywhere"])
def test_shuffled_weights_fail_the_conditions(name):
    recipe = find_recipe(name)
    model = recipe.store.load(BUNDLED / name)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            order = torch.randperm(parameter.numel(), generator=generator)
            parameter.copy_(parameter.flatten()[order].view(parameter.shape))
    failed = {one.condition.measure for one in judge(recipe, recipe.measure(model)) if not one.held}
    assert {"accuracy", "worst"} <= failed or {"corner", "elsewhere"} <= failed
