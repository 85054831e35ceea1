"""What a member's card says of it, measured on files that come with the package."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechscope.data.repeated_tokens import repeated_twice
from mechscope.model.transformer import HookedTransformer
from mechscope.recipes.family.package_files import KINDS_OF_TEXT, held_out
from mechscope.techniques.head_detectors import DetectedHeads, detect_heads

TEST_SEED = 20_000
"""Of the random blocks that members are tested on; no training step has it."""
TEST_SEQUENCES = 64
NAMED_FROM = 0.3
"""A head with this score or more is named on the card."""


def test_blocks(model: HookedTransformer) -> Int[Tensor, "batch pos"]:
    """BOS and a block of random tokens twice, as long as the context allows [batch pos]."""
    generator = torch.Generator().manual_seed(TEST_SEED)
    # repeated_twice puts the BOS last in the vocabulary; the family has it first.
    tokens = repeated_twice(TEST_SEQUENCES, half(model), model.cfg.d_vocab - 1, generator) + 1
    tokens[:, 0] = 0
    return tokens


test_blocks.__test__ = False  # type: ignore[attr-defined]


def half(model: HookedTransformer) -> int:
    """Length of the block that the test sequences repeat."""
    return (model.cfg.n_ctx - 1) // 2


def measure_member(model: HookedTransformer) -> dict[str, float]:
    """Losses on held-out text beside those of n-grams, and how well the model copies random blocks. In nats."""
    held = held_out()
    figures: dict[str, float] = dict(held.baselines)
    for kind in KINDS_OF_TEXT:
        losses = token_losses(model, held.rows[kind])
        figures[f"loss_{kind}"] = float(losses.mean())
        figures[f"in_context_{kind}"] = in_context_score(losses)
    blocks = test_blocks(model)
    losses = token_losses(model, blocks)
    first = float(losses[:, : half(model)].mean())
    # The first token of the second copy is a surprise whatever one knows.
    second = float(losses[:, half(model) + 1 :].mean())
    heads = score_heads(model)
    return {
        **figures,
        "loss_first_copy": first,
        "loss_second_copy": second,
        "gain": first - second,
        "prefix": float(heads.of("induction").values.max()),
        "previous": float(heads.of("previous").values.max()),
    }


def token_losses(model: HookedTransformer, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos-1"]:
    """Cross-entropy of each next token, in nats."""
    with torch.no_grad():
        return model(tokens, return_type="loss", loss_per_token=True)


def in_context_score(losses: Float[Tensor, "batch predicted"]) -> float:
    """Mean loss on the last quarter of a sequence minus that on the first, in nats: negative where context helps.

    Source: Olsson et al. (2022), who compare tokens 500 and 50 of longer sequences.
    """
    count = losses.shape[1] // 4
    return float(losses[:, -count:].mean() - losses[:, :count].mean())


def score_heads(model: HookedTransformer) -> DetectedHeads:
    """How much of its attention each head gives to the previous token, and as an induction head would."""
    return detect_heads(model, test_blocks(model), ("induction", "previous"))


def name_heads(model: HookedTransformer) -> dict[str, str]:
    """The induction heads and the previous-token heads with their scores, best first; "none" if there are none."""
    found = score_heads(model)
    return {
        "induction_heads": _listed(found, "induction"),
        "previous_heads": _listed(found, "previous"),
    }


def _listed(found: DetectedHeads, pattern: str) -> str:
    scores = found.of(pattern).values
    named = [
        f"{layer}.{head} ({float(scores[layer, head]):.2f})"
        for layer, head in found.heads(pattern, NAMED_FROM)
    ]
    return ", ".join(named) or f"none (the best has {float(scores.max()):.2f})"
