"""The bundled toy models: how they are made, and what they must not pass with."""

from __future__ import annotations

import dataclasses
import json
import string
from pathlib import Path

import pytest
import torch

from mechscope.checkpoints.registry import BUNDLED, toy_model_names
from mechscope.checkpoints.toy_models import ToyCollection, load_toy_models
from mechscope.checkpoints.toy_networks import TrainedGroup
from mechscope.labs.superposition import training
from mechscope.labs.superposition.linear_baseline import best_linear_losses
from mechscope.labs.superposition.measures import shuffled
from mechscope.labs.superposition.training import batch_for, losses, train_group
from mechscope.recipes.making import MissedConditionsError, judge, make, prepare
from mechscope.recipes.registry import find_recipe
from mechscope.recipes.superposition import CONDITIONS, RECIPES, settled, stored_losses, train
from mechscope.recipes.superposition_card import ABOUT, SHOWN
from mechscope.recipes.superposition_groups import InstancesConfig, Run
from mechscope.runs.workspace import Workspace

NAME = "superposition-instances"
SHORT = Run(2, 6, 32)
TINY = InstancesConfig(
    intro=SHORT,
    intro_densities=19,
    counting=SHORT,
    pentagon=SHORT,
    pairs=SHORT,
    boundary=SHORT,
    grid=SHORT,
    grid_side=3,
    crowd=SHORT,
    crowd_densities=(1.0, 0.5, 0.1),
    polytopes=SHORT,
    privileged=Run(3, 8, 32, finalists=2),
    absolute=SHORT,
)
"""Every group, none of them trained enough to show anything."""


@pytest.fixture(scope="module")
def bundled() -> ToyCollection:
    return load_toy_models(NAME)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses on few batches: these tests are not about their digits."""
    monkeypatch.setattr("mechscope.recipes.superposition.LOSS_BATCHES", 1)


def test_it_is_bundled_and_small() -> None:
    assert toy_model_names() == [NAME]
    assert sum(path.stat().st_size for path in (BUNDLED / NAME).iterdir()) < 1e6


def test_what_is_stored_is_what_the_recipe_makes(bundled: ToyCollection) -> None:
    groups = {group.name: group for group in find_recipe(NAME).config.groups}
    assert {name: one.group for name, one in bundled.items()} == groups
    assert {*groups} == {*ABOUT}
    kept = {name: one.loss.shape[1] for name, one in bundled.items()}
    assert {name: count for name, count in kept.items() if count > 1} == {
        name: groups[name].starts for name in ("counting", "pentagon", "polytopes")
    }


@pytest.mark.parametrize("name", ["intro", "anticorrelated", "privileged", "boundary"])
def test_stored_losses_are_those_of_the_stored_networks(bundled: ToyCollection, name: str) -> None:
    group = bundled[name]
    again = stored_losses(group.group, group.models, 0)
    torch.testing.assert_close(again, group.loss, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("seed", [11, 12])
def test_networks_at_density_1_do_as_well_as_a_linear_map_and_sparse_ones_better(
    bundled: ToyCollection, seed: int
) -> None:
    """On data of another seed than any that they have seen."""
    for name in ("intro", "counting", "crowd"):
        group = dataclasses.replace(bundled[name].group, batch=8192)
        x, target = batch_for(group, seed, 0, torch.device("cpu"))
        found = losses(bundled[name].models, x, target, torch.tensor(group.importance)).amin(1)
        share = found / best_linear_losses(group).float()
        assert float(share[0]) == pytest.approx(1, abs=0.04)
        assert float(share[-1]) < 0.5


def test_the_card_says_what_the_figures_file_says() -> None:
    written = json.loads((BUNDLED / NAME / "figures.json").read_text(encoding="utf-8"))
    card = (BUNDLED / NAME / "card.md").read_text(encoding="utf-8")
    assert card == find_recipe(NAME).card.format(**{**written["words"], **written["figures"]})
    assert all(f"- `{name}`: " in card for name in ABOUT)
    rows = [line for line in card.splitlines() if line.startswith("| ") and not line.startswith("| group")]
    settings = {name: len(group.group.density) for name, group in load_toy_models().items()}
    assert len(rows) == 1 + sum(settings[name] for name in SHOWN)


def test_its_template_names_no_number_that_is_not_measured() -> None:
    recipe = find_recipe(NAME)
    written = json.loads((BUNDLED / NAME / "figures.json").read_text(encoding="utf-8"))
    wanted = {field for _, field, _, _ in string.Formatter().parse(recipe.card) if field}
    assert wanted <= {*written["figures"], *written["words"]}


# Sabotage --------------------------------------------------------------------------------------------


def missed(collection: ToyCollection) -> set[str]:
    recipe = find_recipe(NAME)
    return {one.condition.measure for one in judge(recipe, recipe.measure(collection)) if not one.held}


def test_shuffled_weights_fail(bundled: ToyCollection, quick: None) -> None:
    broken = ToyCollection(
        {name: shuffled(group, 1) if name != "abs" else group for name, group in bundled.items()}
    )
    found = missed(broken)
    assert {
        "dense_fewest", "pentagons", "above_ignored", "at_half", "packing_most", "shapes_2/5",
        "cos_anticorrelated", "mono_dense", "intro_0_share", "largest_share",
    } <= found  # fmt: skip


def test_densities_in_the_wrong_order_fail(bundled: ToyCollection, quick: None) -> None:
    def turned_round(group: TrainedGroup) -> TrainedGroup:
        models = group.models
        W, W_out, b = (value.flip(0) for value in (models.W, models.W_out, models.b))
        return dataclasses.replace(
            group, models=dataclasses.replace(models, W=W, W_out=W_out, b=b), loss=group.loss.flip(0)
        )

    found = missed(ToyCollection({name: turned_round(group) for name, group in bundled.items()}))
    assert {
        "dense_most",
        "count_off_by",
        "intro_dense",
        "intro_sparse",
        "D_star_dense",
        "mono_dense",
    } <= found
    assert {"abs_largest_rise", "counting_6_share", "largest_share"} <= found


# Making ----------------------------------------------------------------------------------------------


def workspace(folder: Path) -> Workspace:
    return Workspace(config=TINY, seeds=(0,), device=torch.device("cpu"), folder=folder)


def test_what_is_kept_of_a_group(tmp_path: Path, quick: None) -> None:
    groups = {group.name: group for group in TINY.groups}
    for name in ("intro", "counting", "abs"):
        whole = train_group(workspace(tmp_path), groups[name], 0)
        kept = settled(whole, 0)
        starts = groups[name].starts if name == "counting" else 1
        assert kept.models.W.shape[1] == kept.loss.shape[1] == starts
        for setting in range(len(groups[name].density)):
            best = whole.models.select(setting, whole.best(setting))
            stored = kept.models.select(setting, 0)
            # Turned and rounded, but the same network.
            x = torch.rand(1, groups[name].n_features, 50, generator=torch.Generator().manual_seed(setting))
            torch.testing.assert_close(stored(x), best(x), atol=5e-3, rtol=5e-3)
            assert torch.equal(stored.W, stored.W.half().float())
        assert bool((kept.models.W[..., 1:, 0].abs() < 1e-6).all()) == (name == "intro")


class KilledError(Exception):
    """Stands for a kill."""


def test_a_killed_making_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None) -> None:
    recipe = dataclasses.replace(RECIPES[0], config=TINY)
    real, steps = training.gradients, {"left": 40}

    def gradients(*arguments):
        steps["left"] -= 1
        if steps["left"] == 0:
            raise KilledError
        return real(*arguments)

    monkeypatch.setattr(training, "gradients", gradients)
    with pytest.raises(KilledError):
        make(recipe, tmp_path / "made", work=tmp_path / "work")
    monkeypatch.setattr(training, "gradients", real)
    # Not trained to speak of, so it misses its conditions, is kept beside its parts and not put in place.
    with pytest.raises(MissedConditionsError, match="superposition-instances did not come out"):
        make(recipe, tmp_path / "made", work=tmp_path / "work")
    assert not (tmp_path / "made").exists()
    resumed = load_toy_models(tmp_path / "work" / "model")
    whole = train(workspace(tmp_path / "whole")).model
    for name, group in whole.items():
        for key, value in group.models.parameters().items():
            assert torch.equal(resumed[name].models.parameters()[key], value), (name, key)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(FileExistsError, match="is not a model written by mechscope"):
        prepare(RECIPES[0], tmp_path)


def test_every_condition_can_fail() -> None:
    nothing = {one.measure: float("nan") for one in CONDITIONS} | {
        "abs_dense": 1.0,
        "vulnerability_dense": 1.0,
    }
    assert not any(one.holds(nothing) for one in CONDITIONS)
