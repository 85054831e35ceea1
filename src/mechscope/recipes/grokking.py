"""The recipe of grokking-p113: the paper's model, trained as step 02 does it, with checkpoints along the way."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

from mechscope.labs.claim import Condition
from mechscope.labs.grokking.anatomy import anatomy_of_transformer
from mechscope.labs.grokking.config import PAPER
from mechscope.labs.grokking.progress import first_epoch
from mechscope.labs.grokking.spectra import keys_of, neurons_to_logits
from mechscope.labs.grokking.structure import analyse_structure
from mechscope.labs.grokking.training import GROKKED, LEARNED, Trained, to_transformer, train_model
from mechscope.model.transformer import HookedTransformer
from mechscope.recipes.recipe import Made, Recipe
from mechscope.runs.workspace import Workspace

NAME = "grokking-p113"
BEFORE = (0.0, 0.025, 0.05, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.85, 0.9, 0.95)
"""Bundled checkpoints, as fractions of the time to grokking: dense at the start, where the facts are memorised,
and at the end, where the test loss falls."""
AFTER = (0.0, 0.1, 0.25, 0.5)
"""The same, from grokking to the end of the clean-up; the end itself is always bundled."""


def train(workspace: Workspace) -> Made:
    """Train to the end of the clean-up; return the model and the most useful checkpoints."""
    trained = train_model(workspace, workspace.config, workspace.seeds[0], NAME)
    history, rows = trained.history, bundled_rows(trained)
    keys = keys_of(neurons_to_logits(trained.weights))
    return Made(
        model=to_transformer(trained.config, trained.weights),
        words={
            "memorised": f"{first_epoch(history.epoch, history.train_accuracy >= LEARNED):,.0f}",
            "grokked": f"{first_epoch(history.epoch, history.test_accuracy >= GROKKED):,.0f}",
            "epochs": f"{int(history.epoch[-1]):,}",
            "seed": str(workspace.seeds[0]),
            "p": str(trained.config.p),
            "guessing": f"{math.log(trained.config.p):.2f}",
            "learning_rate": f"{trained.config.learning_rate:g}",
            "warm_up": str(trained.config.warm_up),
            "weight_decay": f"{trained.config.weight_decay:g}",
            "train_pairs": f"{len(trained.train):,}",
            "all_pairs": f"{len(trained.train) + len(trained.test):,}",
            "test_loss": f"{float(history.test_loss[-1]):.1e}",
            "key_list": ", ".join(map(str, keys)),
            "checkpoints": ", ".join(f"{int(trained.kept_epochs[row]):,}" for row in rows),
        },
        kept={int(trained.kept_epochs[row]): _state(trained, trained.checkpoint(row)) for row in rows},
    )


def bundled_rows(trained: Trained) -> list[int]:
    """Indices of the saved checkpoints nearest to the wanted points of the training; the last one is the end."""
    epochs, history = trained.kept_epochs, trained.history
    end, grokked = float(epochs[-1]), first_epoch(history.epoch, history.test_accuracy >= GROKKED)
    grokked = min(grokked, end)
    wanted = [share * grokked for share in BEFORE]
    wanted += [grokked + share * (end - grokked) for share in AFTER]
    return sorted({int((epochs - epoch).abs().argmin()) for epoch in wanted} | {len(epochs) - 1})


def _state(trained: Trained, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    return to_transformer(trained.config, weights).state_dict()


def measure(model: HookedTransformer) -> dict[str, float]:
    """The measures of step 02 on the finished model."""
    anatomy = anatomy_of_transformer(model)
    structure = analyse_structure(anatomy)
    return {
        "accuracy": 100 * structure.accuracy,
        "loss": structure.loss,
        "keys": len(structure.keys),
        "explained": 100 * structure.explained,
        "outside": 100 * structure.outside,
        "single_neurons": 100 * structure.single_neurons,
        "single_heads": 100 * structure.single_heads,
        "worst_head": 100 * structure.worst_head,
        "separation": structure.separation,
    }


CARD = """# {name}

A one-layer transformer that mechscope trained to add modulo {p}, and that groks: first it memorises its training pairs,
and thousands of epochs later it learns all the others. Everything that step 02 studies can be found in it, and its
checkpoints show how it develops.

- Made by: `{command}` ({made_on}), seed {seed}.
- Shape: {shape}; no norms, no biases but the MLP's, learned positions. {parameters} numbers, stored in float16.
- Tokens: each number is its own token, {p} is “=”. It reads [a, b, =] and answers (a + b) mod {p} at “=”. There is no
  tokenizer.
- Data: {train_pairs} of all {all_pairs} pairs, drawn with the seed, all of them in every epoch ({epochs} epochs). It
  contains no text.
- Training: AdamW, learning rate {learning_rate} after {warm_up} epochs, weight decay {weight_decay}, betas 0.9 and
  0.98, until the clean-up was over. Memorised by epoch {memorised}, grokked at {grokked} (test accuracy at least 99.5 %
  from then on). Final loss on unseen pairs, before rounding: {test_loss} nats.
- As stored: {accuracy:.2f} % of all pairs right, loss {loss:.1e} nats. Guessing costs {guessing} nats; there are no
  n-gram baselines, since one number alone says nothing about the answer.
- Inside: {keys:.0f} key frequencies, {key_list}; Σ α cos w(a+b-c) over them explains {explained:.1f} % of the logits'
  variance. {single_neurons:.1f} % of the neurons have a single frequency; so has the attention of
  {single_heads:.0f} % of the heads, the worst to {worst_head:.1f} %. {outside:.2f} % of the squared norm of W_out W_U
  lies outside the key frequencies; in the paper's model less than 0.55 %. Removing the least important of them costs
  {separation:.0e} times as much as removing any other frequency.
- Checkpoints, by epoch (`checkpoint_value`): {checkpoints}.
- Recipe after Nanda et al. (2023), “Progress measures for grokking via mechanistic interpretability”.
- Licence: MIT, like mechscope.
"""

RECIPES = (
    Recipe(
        name=NAME,
        summary="addition modulo 113, grokked, with checkpoints from memorising to the end of the clean-up",
        config=PAPER,
        seed=0,
        missing=lambda: None,
        train=train,
        measure=measure,
        conditions=(
            Condition("accuracy", "accuracy on all pairs", low=99.9, unit="%"),
            Condition("keys", "key frequencies", low=3, high=6),
            Condition("explained", "variance of the logits explained", low=90, unit="%"),
            Condition("outside", "share of W_out W_U outside the key frequencies", high=0.55, unit="%"),
            Condition("single_heads", "heads with a single frequency", low=75, unit="%"),
            Condition("separation", "separation of key and other frequencies", low=10, unit="×"),
        ),
        card=CARD,
    ),
)
