"""How well simpler explanations do on the same sequences: n-gram counts, copying anything, and the rule itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.data.baselines import fit_baselines
from mechscope.data.repeated_tokens import random_repeats
from mechscope.labs.induction.config import InductionConfig
from mechscope.labs.induction.losses import in_context_score, repeated_loss
from mechscope.labs.induction.training import TrainedModel
from mechscope.runs.training_state import step_seed

FIT_SEQUENCES = 1024
"""Sequences for fitting baselines: enough for the copying weights, and for n-grams to find that nothing repeats."""
RULE = "induction"
"""The baseline that is the hypothesis itself: predict what followed this token last time."""


@dataclass(frozen=True)
class BaselineScores:
    """How a baseline does on the test sequences."""

    repeated: float
    """Loss on the second copy of a repeated block, in nats."""
    gain: float
    """In-context gain on sequences like the training sequences, in nats."""
    by_position: Float[Tensor, " pos"]
    """Mean loss at each position of the repeated blocks, in nats."""


def score_baselines(trained: TrainedModel, config: InductionConfig, seed: int) -> dict[str, BaselineScores]:
    """Fit every baseline to fresh sequences like the training sequences, and test it as the model is tested."""
    # A separate random stream, so that these are neither training batches nor held-out sequences.
    generator = torch.Generator().manual_seed(step_seed(seed, -2))
    fit_on = random_repeats(
        FIT_SEQUENCES, config.n_ctx, config.n_tokens, config.shortest, config.longest, generator
    )
    blocks, like_training = trained.blocks.cpu(), trained.like_training.cpu()
    found: dict[str, BaselineScores] = {}
    for name, baseline in fit_baselines(config.n_tokens + 1, fit_on).items():
        losses = baseline.loss(blocks, per_token=True)
        found[name] = BaselineScores(
            repeated_loss(losses, config.half),
            -in_context_score(baseline.loss(like_training, per_token=True)),
            losses.mean(0),
        )
    return found


def best_plain(baselines: Mapping[str, BaselineScores]) -> str:
    """The name of the baseline with the largest in-context gain, except the rule itself."""
    plain = {name: scores.gain for name, scores in baselines.items() if name != RULE}
    return max(plain, key=lambda name: plain[name])
