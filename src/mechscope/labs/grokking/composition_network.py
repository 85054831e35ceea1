"""The network that learns to compose permutations, its data, and its gradients.

Two embeddings, one for each permutation, a linear layer that reads both, ReLU neurons, and an unembedding; no biases.
Source: Chughtai, Chan and Nanda (2023), "A toy model of universality".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.labs.grokking.config import CompositionConfig
from mechscope.labs.grokking.full_batch import Weights, exact_loss_to_gradients
from mechscope.labs.grokking.pairs import Pairs, all_pairs, split_pairs
from mechscope.labs.grokking.permutations import SymmetricGroup


def compose_pairs(
    group: SymmetricGroup, fraction: float, seed: int, *, shuffle_answers: bool = False
) -> tuple[Pairs, Pairs]:
    """Training and test pairs of permutations.

    Args:
        shuffle_answers: permute the answers among all pairs, so that nothing is left to understand: the null.
    """
    whole = composed(group, all_pairs(len(group)))
    answers = whole.answer
    if shuffle_answers:
        answers = answers[
            torch.randperm(len(answers), generator=torch.Generator().manual_seed(seed + 10_000))
        ]
    train, test = (
        dataclasses.replace(pairs, answer=answers[pairs.a * len(group) + pairs.b])
        for pairs in split_pairs(len(group), int(fraction * len(whole)), seed)
    )
    return train, test


def composed(group: SymmetricGroup, pairs: Pairs) -> Pairs:
    """The same pairs, their numbers read as permutations, with the composition a∘b as the answer."""
    return dataclasses.replace(pairs, answer=group.table[pairs.a, pairs.b])


def initial_network(config: CompositionConfig, order: int, seed: int) -> Weights:
    """Weights before the first epoch: normal, with the variances of the authors' code."""
    generator = torch.Generator().manual_seed(seed)

    def draw(rows: int, columns: int, variance: float) -> Tensor:
        return torch.randn(rows, columns, generator=generator) * variance**0.5

    d_embed, n_neurons = config.d_embed, config.n_neurons
    return {
        "W_a": draw(order, d_embed, 1 / d_embed),
        "W_b": draw(order, d_embed, 1 / d_embed),
        "W_in_a": draw(d_embed, n_neurons, 0.5 / d_embed),
        "W_in_b": draw(d_embed, n_neurons, 0.5 / d_embed),
        "W_out": draw(n_neurons, order, 1 / n_neurons),
    }


def run_neurons(weights: Mapping[str, Tensor], pairs: Pairs) -> Float[Tensor, "pair neuron"]:
    """Activations of the neurons, after the ReLU."""
    of_a, of_b = weights["W_a"] @ weights["W_in_a"], weights["W_b"] @ weights["W_in_b"]
    return of_a.index_select(0, pairs.a).add_(of_b.index_select(0, pairs.b)).clamp_(min=0)


def loss_and_gradients(weights: Mapping[str, Tensor], pairs: Pairs) -> tuple[Tensor, Weights]:
    """Mean cross-entropy in nats (float64) and its gradients for all weights, without rounding in the softmax.

    The gradients are written by hand: whatever depends on one permutation only is summed over the pairs first.
    """
    neurons = run_neurons(weights, pairs)
    logits = neurons @ weights["W_out"]
    d_logits = torch.empty_like(logits)
    loss = exact_loss_to_gradients(logits, pairs.answer, d_logits)
    d_neurons = d_logits @ weights["W_out"].T
    d_neurons.mul_(neurons > 0)
    gradients = {"W_out": neurons.T @ d_logits}
    for place, numbers in (("a", pairs.a), ("b", pairs.b)):
        embedding, W_in = weights[f"W_{place}"], weights[f"W_in_{place}"]
        d_read = torch.zeros_like(embedding @ W_in).index_add_(0, numbers, d_neurons)
        gradients[f"W_{place}"] = d_read @ W_in.T
        gradients[f"W_in_{place}"] = embedding.T @ d_read
    return loss, gradients
