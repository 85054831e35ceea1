"""The recipe of superposition-instances: the networks of step 01, for pages that show them without training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from mechscope.checkpoints.toy_models import BUNDLED, ToyCollection
from mechscope.checkpoints.toy_networks import Group, ToyModels, TrainedGroup
from mechscope.labs.claim import Condition
from mechscope.labs.superposition.claims import CLAIMS
from mechscope.labs.superposition.geometry import represented, turned
from mechscope.labs.superposition.linear_baseline import best_linear_losses
from mechscope.labs.superposition.measures import measure as measure_step
from mechscope.labs.superposition.training import TEST_BATCHES, test_losses, train_group
from mechscope.recipes.recipe import Made, Recipe
from mechscope.recipes.store import TOY_MODELS
from mechscope.recipes.superposition_card import QUOTED, SHOWN, card_of
from mechscope.recipes.superposition_groups import InstancesConfig
from mechscope.runs.workspace import Workspace

SEED = 0
CONFIG = InstancesConfig()
EVERY_START = ("counting", "pentagon", "polytopes")
"""Groups that show how much depends on the random start: all starts are kept. Other groups keep the best one."""
FLAT = 2
"""Hidden layers of at most this many dimensions are rotated, so that different densities can be compared."""
LOSS_BATCHES = 64
"""A stored network's loss is the mean over this many fresh batches."""


def train(workspace: Workspace) -> Made:
    """Train every group of step 01; keep the starts that the package has room for."""
    seed = workspace.seeds[0]
    trained = [train_group(workspace, group, seed) for group in workspace.config.groups]
    collection = ToyCollection({one.group.name: settled(one, seed) for one in trained})
    return Made(
        model=collection,
        words={
            "seed": str(seed),
            "trained": f"{sum(one.group.instances for one in trained):,}",
            "kept": f"{collection.n_networks:,}",
        },
    )


def settled(trained: TrainedGroup, seed: int) -> TrainedGroup:
    """A group as it is stored: the starts that are kept, rotated and rounded, with their losses after rounding."""
    kept = trained.loss.argsort(1)
    kept = kept if trained.group.name in EVERY_START else kept[:, :1]
    rows = torch.arange(len(kept))[:, None]
    W, W_out, b = (value[rows, kept] for value in (trained.models.W, trained.models.W_out, trained.models.b))
    if trained.group.n_hidden <= FLAT and trained.models.kind == "linear":
        W = turned(W)
    W, b = _rounded(W), _rounded(b)
    models = ToyModels(trained.models.kind, W, _rounded(W_out) if trained.models.kind == "untied" else W, b)
    return TrainedGroup(trained.group, models, stored_losses(trained.group, models, seed))


def _rounded(value: Tensor) -> Tensor:
    return value.half().float()


def stored_losses(group: Group, models: ToyModels, seed: int) -> Tensor:
    """Losses [setting start] on data that was used neither for training nor for choosing a start."""
    importance = torch.tensor(group.importance)
    return test_losses(group, models, importance, seed, first=2 * TEST_BATCHES, batches=LOSS_BATCHES)


def measure(collection: ToyCollection) -> dict[str, float]:
    """The measures of step 01 that a condition or the card names, and the losses of every setting in the card."""
    step, losses = measure_step(collection, SEED), dict(_losses(collection))
    shares = [value for name, value in losses.items() if name.endswith("_share")]
    named = {one.measure for one in CONDITIONS} | {one.than for one in CONDITIONS} | {*QUOTED}
    found = {name: value for name, value in step.items() if name in named}
    return found | losses | {"largest_share": max(shares)}


def _losses(collection: ToyCollection) -> Iterator[tuple[str, float]]:
    for name in SHOWN:
        group = collection[name]
        losses = stored_losses(group.group, group.models, SEED)
        for setting, linear in enumerate(best_linear_losses(group.group).tolist()):
            start = int(losses[setting].argmin())
            loss = float(losses[setting, start])
            yield f"{name}_{setting}_loss", loss
            yield f"{name}_{setting}_linear", linear
            yield f"{name}_{setting}_share", loss / linear if linear else float("nan")
            yield (
                f"{name}_{setting}_features",
                float(represented(group.models.W[setting, start]).sum()),
            )


CLAIMED = {
    "1.1": "counting, features at density 1",
    "1.2": "counting, features over densities",
    "1.3": "intro",
    "1.4": "pentagon",
    "1.5": "boundary",
    "1.6": "crowd",
    "1.7a": "polytopes",
    "1.8": "crowd",
    "1.9": "pairs",
    "1.10": "privileged",
    "1.11": "abs, monosemantic units",
    "1.12": "crowd, harm of small pushes",
}
"""Claim of step 01 that these networks must satisfy too → the group that it is about."""
CONDITIONS = (
    *(
        replace(condition, what=f"{CLAIMED[claim.id]}: {condition.what}")
        for claim in CLAIMS
        if claim.id in CLAIMED
        for condition in claim.conditions
    ),
    *(
        Condition(f"{name}_share", f"{what}: loss as a share of the best linear map's", low=low, high=high)
        for name, what, low, high in (
            ("intro_0", "intro at density 1", 0.9, 1.05),
            ("counting_0", "counting at density 1", 0.9, 1.05),
            ("intro_18", "intro at density 0.05", None, 0.5),
            ("counting_6", "counting at density 0.001", None, 0.5),
            ("largest", "any group, where it is largest", None, 1.05),
        )
    ),
)

RECIPES = (
    Recipe(
        name=BUNDLED,
        summary="toy models of superposition: step 01's networks at many sparsities, trained",
        config=CONFIG,
        seed=SEED,
        missing=lambda: None,
        train=train,
        measure=measure,
        conditions=CONDITIONS,
        card=card_of(CONFIG.groups),
        store=TOY_MODELS,
    ),
)
