"""The recipe of induction-2l: the two-layer model of step 03, trained as its quick budget trains it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mechscope.labs.claim import Condition
from mechscope.labs.induction.ablation import Head, mean_ablation_hooks, record
from mechscope.labs.induction.config import InductionConfig
from mechscope.labs.induction.head_scores import score_heads
from mechscope.labs.induction.losses import repeated_loss, token_losses
from mechscope.labs.induction.measures import at_least_half
from mechscope.labs.induction.training import held_out_batches, train_model
from mechscope.model.transformer import HookedTransformer
from mechscope.recipes.recipe import Made, Recipe
from mechscope.runs.workspace import Workspace

NAME = "induction-2l"
SEED = 0
CONFIG = InductionConfig()


def train(workspace: Workspace) -> Made:
    """Train as step 03 does, and name the heads of the trained model."""
    model = train_model(workspace, 2, workspace.seeds[0]).model.cpu()
    scores = score_heads(model, _blocks())
    return Made(
        model=model,
        words={
            "seed": str(workspace.seeds[0]),
            "steps": f"{CONFIG.steps:,}",
            "last": str(CONFIG.n_tokens - 1),
            "bos": str(CONFIG.n_tokens),
            "previous_heads": _heads_text(at_least_half(scores.previous, layer=0)),
            "induction_heads": _heads_text(at_least_half(scores.prefix, layer=1)),
        },
    )


def measure(model: HookedTransformer) -> Mapping[str, float]:
    """The scores of its heads, with and without the heads that feed them, and its loss on a repeated block."""
    blocks = _blocks()
    scores = score_heads(model, blocks)
    feeders = at_least_half(scores.previous, layer=0)
    with (
        torch.no_grad(),
        model.hooks(mean_ablation_hooks(record(model, blocks), feeders, keep_patterns=False)),
    ):
        without = score_heads(model, blocks).prefix[1].max()
    return {
        "prefix": float(scores.prefix.max()),
        "prefix_without": float(without),
        "previous": float(scores.previous.max()),
        "repeated": repeated_loss(token_losses(model, blocks), blocks.shape[1] // 2),
        "guessing": CONFIG.guessing_loss,
    }


def _blocks() -> Tensor:
    return held_out_batches(CONFIG, SEED)[0]


def _heads_text(heads: Sequence[Head]) -> str:
    return ", ".join(f"{layer}.{head}" for layer, head in heads)


CONDITIONS = (
    Condition("prefix", "prefix score of the best head", low=0.5),
    Condition(
        "prefix_without",
        "prefix score without previous-token heads",
        high=0.25,
        than="prefix",
        than_what="with them",
    ),
    Condition("repeated", "loss on the second copy", high=0.2, than="guessing", than_what="guessing"),
)

CARD = """# {name}

A two-layer attention-only transformer that mechscope trained on random tokens with a repeated segment, and nothing
else. It copies: after `… A B … A` it predicts `B`. It knows no language.

- Made by: `{command}` (step 03's quick budget trains the same model), {steps} training steps, seed {seed}; {made_on}.
- Tokens: 0 to {last} have no meaning; {bos} marks the beginning of a sequence and must come first. There is
  no tokenizer.
- Shape: {shape}, LayerNorm, positions added to queries and keys only (shortformer). {parameters} numbers, stored in
  float16.
- Data: random tokens drawn with the seed; no text.
- Circuit: previous-token heads {previous_heads} (best score {previous:.2f}); induction heads {induction_heads} (best
  prefix score {prefix:.2f}). With the former ablated, the latter have a prefix score of {prefix_without:.2f}.
- Loss on the second copy of a repeated block: {repeated:.2f} nats (guessing costs {guessing:.2f}).
- Licence: MIT, like mechscope.
"""

RECIPES = (
    Recipe(
        name=NAME,
        summary="copies from context; two layers of attention, random tokens",
        config=CONFIG,
        seed=SEED,
        missing=lambda: None,
        train=train,
        measure=measure,
        conditions=CONDITIONS,
        card=CARD,
    ),
)
