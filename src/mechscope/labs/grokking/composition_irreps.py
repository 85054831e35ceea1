"""How well irreducible representations explain a network that composes permutations.

Composing permutations multiplies the matrices of a representation ρ. So a network that multiplies ρ(a) by ρ(b) and
compares the product with every ρ(c) would have the logits

    tr ρ(a) ρ(b) ρ(c)⁻¹ = χ_ρ(a b c⁻¹),

which are largest at c = a b. The trace χ_ρ is the character of ρ. The characters of different irreps are orthogonal, so
a least-squares fit of the logits gives each irrep a share of their variance, and the shares add up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechscope.labs.grokking.composition_network import composed, run_neurons
from mechscope.labs.grokking.full_batch import plain_loss
from mechscope.labs.grokking.pairs import all_pairs
from mechscope.labs.grokking.permutations import SymmetricGroup

KEY_SIMILARITY = 0.005
"""Cosine similarity of the logits with an irrep's character above which it counts as key, as in the authors' code."""


def character_similarities(
    logits: Float[Tensor, "element element element"],
    group: SymmetricGroup,
    names: Sequence[str],
    product: Int[Tensor, "element element"],
) -> Float[Tensor, " irrep"]:
    """Cosine similarity of logits[a, b, c] with χ(product[a, b] c⁻¹), for each irrep; in float64.

    The mean over c is removed first, because it changes no probability. The square of the similarity is the share of
    the remaining variance that the character explains.
    """
    order = len(group)
    centred = (logits - logits.mean(2, keepdim=True)).flatten(0, 1).double()
    # All triples with the same quotient g have the same χ(g), so their logits are summed first.
    by_product = torch.zeros(order, order, dtype=torch.float64, device=logits.device)
    by_product.index_add_(0, product.flatten(), centred)
    quotient = group.table[:, group.inverse].to(logits.device)
    by_quotient = torch.zeros(order, dtype=torch.float64, device=logits.device)
    by_quotient.index_add_(0, quotient.flatten(), by_product.flatten())
    characters = torch.stack([group.characters[name] for name in names]).to(logits.device)
    # A character's squares sum to the order of the group, and every quotient occurs order² times.
    size = centred.square().sum().sqrt() * order**1.5
    return characters @ by_quotient / size


def key_irreps(names: Sequence[str], similarity: Float[Tensor, " irrep"]) -> tuple[str, ...]:
    """The irreps whose similarity is above KEY_SIMILARITY."""
    return tuple(
        name for name, value in zip(names, similarity.tolist(), strict=True) if value > KEY_SIMILARITY
    )


def embedding_shares(
    weights: Mapping[str, Tensor], group: SymmetricGroup, names: Sequence[str]
) -> Float[Tensor, "place irrep"]:
    """Share of the squared norm of W_a W_in_a and W_b W_in_b that lies in the entries of each irrep."""
    rows = []
    for place in ("a", "b"):
        read = (weights[f"W_{place}"] @ weights[f"W_in_{place}"]).double()
        rows.append([float((group.projector([name]) @ read).square().sum()) for name in names])
        rows[-1] = [value / float(read.square().sum()) for value in rows[-1]]
    return torch.tensor(rows, dtype=torch.float64)


def neuron_losses(
    weights: Mapping[str, Tensor], group: SymmetricGroup, keys: Sequence[str], others: Sequence[str]
) -> dict[str, float]:
    """Loss over all pairs, in nats and float64, with parts of the neurons' activations kept or removed.

    A part is the projection of the activations on the entries of ρ(a b), for all ρ of a set: the key irreps ("keys") or
    the other ones ("others"). The mean over all pairs is always kept, because it says nothing about a pair.

    Returns:
        "whole": nothing is changed. "keys kept", "others kept": only that part and the mean. "keys removed", "others
        removed": everything but that part.
    """
    weights = {name: tensor.double() for name, tensor in weights.items()}
    pairs = composed(group, all_pairs(len(group)))
    neurons = run_neurons(weights, pairs)
    by_answer = torch.zeros(len(group), neurons.shape[1], dtype=torch.float64)
    by_answer = by_answer.index_add_(0, pairs.answer, neurons) / len(group)

    def loss(changed: Tensor) -> float:
        return float(plain_loss(changed @ weights["W_out"], pairs.answer))

    found = {"whole": loss(neurons)}
    for what, names in (("keys", keys), ("others", others)):
        part = (group.projector(names) @ by_answer)[pairs.answer]
        found[f"{what} kept"] = loss(neurons.mean(0) + part)
        found[f"{what} removed"] = loss(neurons - part)
    return found
