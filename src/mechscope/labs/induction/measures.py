"""Every number that step 03 claims, measured on one seed's two models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.labs.induction.ablation import Head, mean_ablation_hooks
from mechscope.labs.induction.change_point import abruptness, halfway_step
from mechscope.labs.induction.circuits import (
    copying_scores,
    k_composition,
    random_k_composition,
    readable_weights,
)
from mechscope.labs.induction.hand_wired import hand_wired_induction, induction_accuracy, solvable_blocks
from mechscope.labs.induction.scores import (
    in_context_score,
    patterns,
    prefix_scores,
    previous_token_scores,
    token_losses,
)
from mechscope.labs.induction.training import History, TrainedModel


@dataclass(frozen=True)
class Analysis:
    """What the two-layer model turned out to be made of."""

    prefix: Float[Tensor, "layer head"]
    """Prefix score of every head."""
    previous: Float[Tensor, "layer head"]
    """Previous-token score of every head."""
    induction_heads: tuple[Head, ...]
    """Heads of layer 1 with at least half of the best prefix score."""
    previous_heads: tuple[Head, ...]
    """Heads of layer 0 with at least half of the best previous-token score."""
    composition: Float[Tensor, "head_out head_in"]
    """K-composition of each head of layer 0 with each of layer 1."""
    composition_random: float
    """Mean K-composition of random heads of the same shapes."""
    copying: Float[Tensor, "layer head"]
    """Copying score of every head."""
    removed: Float[Tensor, "layer head"]
    """Share of the in-context gain that is lost without a head, all patterns held."""
    removed_by_induction: float
    """The same without all induction heads."""
    prefix_without_previous: Float[Tensor, " head"]
    """Layer 1's prefix scores when the previous-token heads are ablated."""


def analyse(trained: TrainedModel, seed: int) -> Analysis:
    """Scores, circuit and ablations of a trained two-layer model."""
    model = trained.model
    half = (trained.blocks.shape[1] - 1) // 2
    pattern = patterns(model, trained.blocks)
    prefix, previous = prefix_scores(pattern, half).cpu(), previous_token_scores(pattern).cpu()
    induction_heads, previous_heads = _at_least_half(prefix, layer=1), _at_least_half(previous, layer=0)
    weights = readable_weights(model)
    with model.hooks(
        fwd_hooks=mean_ablation_hooks(model, trained.blocks, previous_heads, keep_patterns=False)
    ):
        without = prefix_scores(patterns(model, trained.blocks), half)[1].cpu()
    every = [(layer, head) for layer in range(model.cfg.n_layers) for head in range(model.cfg.n_heads)]
    removed = torch.tensor([gain_removed(trained, [head]) for head in every])
    return Analysis(
        prefix=prefix,
        previous=previous,
        induction_heads=induction_heads,
        previous_heads=previous_heads,
        composition=k_composition(weights),
        composition_random=float(random_k_composition(model, seed).mean()),
        copying=copying_scores(weights),
        removed=removed.view(model.cfg.n_layers, model.cfg.n_heads),
        removed_by_induction=gain_removed(trained, induction_heads),
        prefix_without_previous=without,
    )


def gain_removed(trained: TrainedModel, heads: Sequence[Head]) -> float:
    """Share of the in-context gain that pattern-preserving mean ablation of the heads takes away."""
    model, tokens = trained.model, trained.like_training
    whole = in_context_score(token_losses(model, tokens))
    with model.hooks(fwd_hooks=mean_ablation_hooks(model, tokens, heads, keep_patterns=True)):
        left = in_context_score(token_losses(model, tokens))
    return 1 - left / whole


def measure(two: TrainedModel, one: TrainedModel, analysis: Analysis, seed: int) -> dict[str, float]:
    """All measures by name."""
    history = two.history
    best_pair = divmod(int(analysis.composition.argmax()), analysis.composition.shape[1])
    in_circuit = (0, best_pair[0]) in analysis.previous_heads and (
        1,
        best_pair[1],
    ) in analysis.induction_heads
    others = analysis.removed.clone()
    for layer, head in analysis.induction_heads:
        others[layer, head] = -torch.inf
    points = change_points(history)
    return {
        **_yardsticks(seed),
        "test_sequences": float(len(two.blocks)),
        "prefix_2l": float(analysis.prefix.max()),
        "prefix_1l": float(one.history.prefix[-1].max()),
        "gain_2l": -float(history.in_context[-1]),
        "gain_1l": -float(one.history.in_context[-1]),
        "repeated_2l": float(history.repeated[-1]),
        "repeated_1l": float(one.history.repeated[-1]),
        "change_spread": 100 * (max(points.values()) - min(points.values())) / float(history.step[-1]),
        **{
            f"abrupt_{name}": 100 * abruptness(history.step, curve) for name, curve in curves(history).items()
        },
        **{f"change_{name}": point for name, point in points.items()},
        "best_pair_is_circuit": float(in_circuit),
        "k_composition": float(analysis.composition.max()),
        "k_composition_random": analysis.composition_random,
        "random_times_root_d": analysis.composition_random * two.model.cfg.d_model**0.5,
        "copying": min(float(analysis.copying[head]) for head in analysis.induction_heads),
        "prefix_without_previous": float(analysis.prefix_without_previous.max()),
        "removed_by_induction": 100 * analysis.removed_by_induction,
        "removed_by_others": 100 * float(others.max()),
    }


def curves(history: History) -> dict[str, Float[Tensor, " step"]]:
    """The three curves that change together."""
    return {
        "in_context": history.in_context,
        "prefix": history.prefix.amax((1, 2)),
        "repeated": history.repeated,
    }


def change_points(history: History) -> dict[str, float]:
    """The step at which each of them has gone half of its way."""
    return {name: halfway_step(history.step, curve) for name, curve in curves(history).items()}


def _yardsticks(seed: int) -> dict[str, float]:
    half, n_tokens = 20, 32
    tokens = solvable_blocks(64, half, n_tokens, torch.Generator().manual_seed(seed))
    model = hand_wired_induction(n_tokens, 2 * half + 1)
    score = float(prefix_scores(patterns(model, tokens), half)[1, 0])
    length = 2 * half + 1
    uniform = torch.ones(length, length).tril()
    uniform = (uniform / uniform.sum(-1, keepdim=True))[None, None, None]
    exact = sum(1 / (query + 1) for query in range(half + 1, length)) / half
    return {
        "prefix_of_hand_wired": score,
        "prefix_of_uniform_error": abs(float(prefix_scores(uniform, half)[0, 0]) - exact),
        "hand_wired_accuracy": 100 * induction_accuracy(model, tokens, half),
    }


def _at_least_half(scores: Float[Tensor, "layer head"], layer: int) -> tuple[Head, ...]:
    row = scores[layer]
    return tuple((layer, head) for head in range(len(row)) if row[head] >= row.max() / 2)
