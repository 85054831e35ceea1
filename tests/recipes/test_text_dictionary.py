"""The bundled dictionary: what its card says is what it measures, and an untrained one would not be accepted."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

import mechscope as ms
from mechscope.dictionaries.bundled_folders import BUNDLED, bundled_dictionary_names
from mechscope.recipes import text_dictionary
from mechscope.recipes.making import judge, measure
from mechscope.recipes.registry import find_recipe
from mechscope.recipes.text_dictionary import NAME

RECIPE = find_recipe(NAME)
FOLDER = BUNDLED / NAME


def test_its_figures_and_card_are_what_it_measures_now() -> None:
    written = json.loads((FOLDER / "figures.json").read_text(encoding="utf-8"))
    figures = measure(RECIPE, FOLDER)
    # Another processor adds up in another order, and near a tie another feature is among the k largest.
    assert figures == pytest.approx(written["figures"], rel=3e-3, abs=1e-3)
    assert [one.condition.what for one in judge(RECIPE, figures) if not one.held] == []
    assert figures["fvu"] < figures["neurons_fvu"] / 2
    now = json.loads(json.dumps(dataclasses.asdict(RECIPE.config), default=str))
    assert (written["seed"], written["config"]) == (RECIPE.seed, now)
    card = (FOLDER / "card.md").read_text(encoding="utf-8")
    assert card == RECIPE.card.format(**{**written["words"], **written["figures"]})


def test_an_untrained_dictionary_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_dictionary, "ROWS", 16)  # enough for a difference as large as this
    untrained = ms.dictionaries.build(ms.dictionaries.load(NAME).float().cfg, 0)
    assert not any(
        one.held for one in judge(RECIPE, RECIPE.measure(untrained)) if one.condition.measure != "dead"
    )


def test_it_is_loaded_by_name() -> None:
    assert NAME in bundled_dictionary_names()
    dictionary = ms.dictionaries.load(NAME)
    assert dictionary.metadata["hook_name"] == "blocks.0.mlp.hook_post"
    assert dictionary.cfg.dtype == "float16"
    with pytest.raises(FileNotFoundError, match=f"loaded by name: {NAME}"):
        ms.dictionaries.load("mini-gelu-1l-neuron")


def test_a_folder_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = ms.dictionaries.build(ms.dictionaries.TopKConfig(d_in=4, d_sae=8, k=2))
    ms.dictionaries.save(own, tmp_path / NAME)
    monkeypatch.chdir(tmp_path)
    assert ms.dictionaries.load(NAME).cfg.d_sae == 8


def test_its_store_keeps_other_files_safe(tmp_path: Path) -> None:
    assert RECIPE.store.is_own(FOLDER)
    assert RECIPE.store.is_own(tmp_path)
    (tmp_path / "thesis.tex").write_text("years of work", encoding="utf-8")
    assert not RECIPE.store.is_own(tmp_path)
