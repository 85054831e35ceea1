"""The recipe of mini-gelu-1l-neurons: the dictionary of step 05, for pages that show features without training."""

from __future__ import annotations

import platform

import torch

from mechscope.data.python_code import read_standard_library
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.dictionaries.evaluation import evaluate, read_activations
from mechscope.labs.claim import Condition
from mechscope.labs.sae.config import TextConfig
from mechscope.labs.sae.language_model import HOOK, load_language_model, read_texts, why_no_model
from mechscope.labs.sae.text_study import train_chosen
from mechscope.recipes.family.package_files import held_out
from mechscope.recipes.recipe import Made, Recipe
from mechscope.recipes.store import DICTIONARY
from mechscope.runs.workspace import Workspace

NAME = "mini-gelu-1l-neurons"
CONFIG = TextConfig()
ROWS = 128
"""Held-out sequences that it is measured on."""


def missing() -> str | None:
    """Why it cannot be made on this machine: the model or the text is missing."""
    try:
        read_standard_library()
    except FileNotFoundError as error:
        return str(error)
    return why_no_model(CONFIG)


def train(workspace: Workspace) -> Made:
    """Train the TopK dictionary that step 05 studies, on the same text."""
    config: TextConfig = workspace.config
    seed = workspace.seeds[0]
    model = load_language_model(config.model, workspace.device)
    texts = read_texts(model, config, seed)
    dictionary = train_chosen(workspace, model, texts, config, seed, NAME)
    dictionary.metadata.update(model_name=config.model, hook_name=HOOK, skip_first=1)
    return Made(
        dictionary,
        words={
            "model": config.model,
            "hook": HOOK,
            "tokens": f"{config.steps * config.batch:,}",
            "sequences": f"{len(texts.train):,}",
            "learning_rate": f"{config.learning_rate:g}",
            "seed": str(seed),
            "library": platform.python_version(),
        },
    )


@torch.no_grad()
def measure(dictionary: Dictionary) -> dict[str, float]:
    """Its scores on the package's held-out Python code, spliced into the model; shares in percent, losses in nats."""
    model = load_language_model(CONFIG.model, torch.device("cpu"))
    tokens = held_out().rows["code"][:ROWS]
    found = evaluate(dictionary, tokens, model=model, hook_name=HOOK, skip_first=1, text_batch_size=64)
    assert found.splice is not None
    x = torch.cat([x[:, 1:].flatten(0, 1) for x, _ in read_activations(model, tokens, HOOK, batch_size=64)])
    return {
        "l0": found.l0,
        "fvu": 100 * found.fvu,
        "neurons_fvu": 100 * largest_neurons_fvu(x, CONFIG.chosen),
        "cosine": found.cosine,
        "dead": 100 * found.activity.dead_share,
        "loss": found.splice.ce,
        "loss_spliced": found.splice.ce + found.splice.delta_ce,
        "loss_without": found.splice.ce_mean,
        "recovered": 100 * found.splice.recovered_mean,
    }


def largest_neurons_fvu(x: torch.Tensor, k: int) -> float:
    """The fraction of variance unexplained if only the k neurons farthest from their means are kept [batch neuron]."""
    apart = x - x.mean(0)
    kept = apart.abs().topk(k, -1).indices
    rest = apart.scatter(-1, kept, 0.0)
    return float(rest.square().sum() / apart.square().sum())


CARD = """# {name}

A sparse autoencoder that mechscope trained on the neurons of {model}: it writes the activations of the MLP as sums of
few directions, its features. Step 05 studies this dictionary, and the web lab shows it.

- Made by: `{command}` ({made_on}), seed {seed}. `mechscope.dictionaries.load("{name}")` loads it.
- Shape: {shape}. {parameters} numbers, stored in float16.
- Reads and writes: `{hook}` of {model}, at every position but the first (BOS).
- Data: {sequences} sequences of the standard library of Python {library} (Python Software Foundation License),
  drawn with the seed, without the modules that are held out for tests.
- Training: {tokens} activations in random order, Adam with learning rate {learning_rate} and a decay over the last
  quarter; an auxiliary loss revives dead features.
- As stored, on the package's held-out Python code: {l0:.1f} features active per token; {fvu:.1f} % of the variance
  unexplained ({neurons_fvu:.1f} % if as many neurons are kept instead); cosine {cosine:.3f}; {dead:.1f} % of the
  features never active.
- Spliced into the model there: loss {loss_spliced:.3f} nats instead of {loss:.3f}; with the neurons at their means
  {loss_without:.3f}. So {recovered:.1f} % of what the neurons contribute is recovered.
- Licence: MIT, like mechscope.
"""

RECIPES = (
    Recipe(
        name=NAME,
        summary="a dictionary on the neurons of mini-gelu-1l, as step 05 studies it",
        config=CONFIG,
        seed=0,
        missing=missing,
        train=train,
        measure=measure,
        conditions=(
            Condition("fvu", "variance unexplained", high=16, unit="%"),
            Condition("dead", "features that are never active", high=2, unit="%"),
            Condition("recovered", "loss recovered", low=90, unit="%"),
        ),
        card=CARD,
        store=DICTIONARY,
    ),
)
