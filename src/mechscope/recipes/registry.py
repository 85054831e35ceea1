"""Which recipes there are. A new one is a module here with a RECIPES tuple and its names in MODULES."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from mechscope.near_names import did_you_mean

if TYPE_CHECKING:
    from mechscope.recipes.recipe import Recipe

KINDS = ("attn-only", "gelu", "solu")
"""The kinds of the family of small language models, each with one to four layers."""

MODULES: dict[str, str] = {
    **{f"mini-{kind}-{layers}l": "mechscope.recipes.family" for kind in KINDS for layers in (1, 2, 3, 4)},
    "mini-gelu-1l-seed1": "mechscope.recipes.family",
    "induction-2l": "mechscope.recipes.induction",
    "ioi-twin": "mechscope.recipes.ioi_twin",
    "grokking-p113": "mechscope.recipes.grokking",
    "superposition-instances": "mechscope.recipes.superposition",
    "digits-cnn": "mechscope.recipes.digits_cnn",
    "digits-cnn-seed1": "mechscope.recipes.digits_cnn",
    "grid-agent": "mechscope.recipes.grid_agent",
    "grid-agent-anywhere": "mechscope.recipes.grid_agent",
    "mini-gelu-1l-neurons": "mechscope.recipes.text_dictionary",
}
"""Name of a bundled model or dictionary → the module whose RECIPES has its recipe."""


class _Recipes(Mapping[str, "Recipe"]):
    """Name → recipe; a module is imported when one of its recipes is asked for."""

    def __getitem__(self, name: str) -> Recipe:
        found = {recipe.name: recipe for recipe in importlib.import_module(MODULES[name]).RECIPES}
        return found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(MODULES)

    def __len__(self) -> int:
        return len(MODULES)


RECIPES: Mapping[str, Recipe] = _Recipes()
"""Every recipe by its name."""


def check_name(name: str) -> str:
    """The name itself; needs neither torch nor a recipe's module.

    Raises:
        KeyError: for a name without a recipe, with the nearest ones.
    """
    if name in MODULES:
        return name
    hint = did_you_mean(name.lower(), MODULES, n=2, cutoff=0.5)
    raise KeyError(f"there is no recipe for {name!r}.{hint} Recipes: {', '.join(MODULES)}.")


def find_recipe(name: str) -> Recipe:
    """The recipe of a bundled model.

    Raises:
        KeyError: for a name without a recipe, with the nearest ones.
    """
    return RECIPES[check_name(name)]
