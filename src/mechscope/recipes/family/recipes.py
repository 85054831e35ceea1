"""The recipes of the family's twelve members, and of one of them with another seed."""

from __future__ import annotations

import logging
from dataclasses import replace

from mechscope.data.books import missing_books
from mechscope.labs.claim import Condition
from mechscope.model.transformer import HookedTransformer
from mechscope.recipes.family.card import CARD, card_words
from mechscope.recipes.family.config import ACTIVATIONS, FamilyConfig
from mechscope.recipes.family.measures import measure_member
from mechscope.recipes.family.package_files import held_out
from mechscope.recipes.family.training import load_data, state_at, train_weights
from mechscope.recipes.recipe import Made, Recipe
from mechscope.runs.workspace import Workspace

log = logging.getLogger(__name__)

SEED = 0
WATCHED = (0, 100, 200, 400, 500, 600, 700, 800, 900, 1000, 1200, 1400, 1600, 1900, 2300)
"""Steps kept of the members in which one can watch induction heads form, or fail to, over both phases."""
LAYERS = (1, 2, 3, 4)


def conditions(n_layers: int) -> tuple[Condition, ...]:
    """What a member must come out as: a little language, and induction if it has the two layers that it takes."""
    language = tuple(
        Condition(
            f"loss_{kind}", f"loss on held-out {kind}", high=1, than=f"unigram_{kind}", than_what="unigrams"
        )
        for kind in ("books", "code")
    )
    if n_layers == 1:
        return (
            *language,
            Condition("prefix", "prefix score of the best head", high=0.2),
            Condition("gain", "gain on a repeated block", high=1, unit="nats"),
        )
    return (
        *language,
        Condition("prefix", "prefix score of the best head", low=0.5),
        Condition("gain", "gain on a repeated block", low=1, unit="nats"),
    )


def member(kind: str, n_layers: int, seed: int = SEED) -> Recipe:
    """The recipe of one member."""
    config = FamilyConfig(kind, n_layers)
    if kind == "attn-only" and n_layers <= 2:
        config = replace(config, keep=WATCHED)
    blocks = (
        "attention alone"
        if kind == "attn-only"
        else f"attention and {kind.upper().replace('SOLU', 'SoLU')} MLPs"
    )
    again = f"; seed {seed}" if seed != SEED else ""
    return Recipe(
        name=config.name(seed),
        summary=f"{n_layers} layer{'s' if n_layers > 1 else ''} of {blocks}, on books and Python code{again}",
        config=config,
        seed=seed,
        missing=missing_books,
        train=train_member,
        measure=measure_member,
        conditions=conditions(n_layers),
        card=CARD,
    )


def train_member(workspace: Workspace) -> Made:
    """Train a member, or read it back if that was done."""
    config: FamilyConfig = workspace.config
    (seed,) = workspace.seeds
    tokenizer, corpus = load_data(config)
    if corpus.checksum != (shipped := held_out().about["checksum"]):
        log.warning(
            "The text here is not that of the shipped models (checksum %s, theirs %s, read with Python %s): another "
            "Python has another standard library, so the model will come out a little different.",
            corpus.checksum,
            shipped,
            held_out().about["python"],
        )
    part = train_weights(workspace, corpus)
    model = HookedTransformer.from_state(config.model_config(seed), state_at(part, config.steps), tokenizer)
    steps = (*config.keep, config.steps) if config.keep else ()
    return Made(
        model,
        card_words(config, model, corpus, part["losses"], workspace.seconds),
        {step: state_at(part, step) for step in steps},
    )


RECIPES: tuple[Recipe, ...] = (
    *(member(kind, n_layers) for kind in ACTIVATIONS for n_layers in LAYERS),
    # What a dictionary finds in both was not a matter of luck: step 05 asks.
    member("gelu", 1, seed=1),
)
