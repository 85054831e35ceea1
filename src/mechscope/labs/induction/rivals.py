"""What plainer explanations can do on the same sequences: counting n-grams, copying anything, and the rule itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.data.repeated_tokens import random_repeats
from mechscope.data.rivals import fit_rivals
from mechscope.labs.induction.config import InductionConfig
from mechscope.labs.induction.losses import in_context_score, repeated_loss
from mechscope.labs.induction.training import TrainedModel
from mechscope.runs.training_state import step_seed

FIT_SEQUENCES = 1024
"""Sequences that rivals are fitted to: enough for the copying weights, and for the n-grams to see there is nothing."""
RULE = "induction"
"""The rival that is the hypothesis itself: what followed the last time."""


@dataclass(frozen=True)
class RivalScores:
    """A rival on the test sequences."""

    repeated: float
    """Loss on the second copy of a repeated block, in nats."""
    gain: float
    """In-context gain on sequences like those of the training, in nats."""
    by_position: Float[Tensor, " pos"]
    """Mean loss at each position of the repeated blocks, in nats."""


def score_rivals(trained: TrainedModel, config: InductionConfig, seed: int) -> dict[str, RivalScores]:
    """Every rival by name, fitted to fresh sequences of the training's kind and tested on the model's own tests."""
    # A stream of its own: neither a training batch nor the held-out sequences.
    generator = torch.Generator().manual_seed(step_seed(seed, -2))
    fit_on = random_repeats(
        FIT_SEQUENCES, config.n_ctx, config.n_tokens, config.shortest, config.longest, generator
    )
    blocks, like_training = trained.blocks.cpu(), trained.like_training.cpu()
    found: dict[str, RivalScores] = {}
    for name, rival in fit_rivals(config.n_tokens + 1, fit_on).items():
        losses = rival.loss(blocks, per_token=True)
        found[name] = RivalScores(
            repeated_loss(losses, config.half),
            -in_context_score(rival.loss(like_training, per_token=True)),
            losses.mean(0),
        )
    return found


def best_plain(rivals: Mapping[str, RivalScores]) -> str:
    """Name of the rival with the largest in-context gain, the rule itself left out."""
    plain = {name: scores.gain for name, scores in rivals.items() if name != RULE}
    return max(plain, key=lambda name: plain[name])
