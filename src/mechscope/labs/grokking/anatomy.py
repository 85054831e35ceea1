"""The weights and activations that the analysis reads, from a model of this lab or from any one-layer transformer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.labs.grokking.full_batch import run_pairs
from mechscope.labs.grokking.pairs import all_pairs
from mechscope.labs.grokking.spectra import neurons_to_logits, number_embedding
from mechscope.model.transformer import HookedTransformer


@dataclass(frozen=True)
class Anatomy:
    """What a one-layer model does at "=" for every pair of numbers (float64, on the CPU)."""

    p: int
    """The modulus."""
    embedding: Float[Tensor, "p d_model"]
    """Embeddings of the numbers."""
    W_L: Float[Tensor, "d_mlp p"]
    """From neurons to logits."""
    pattern: Float[Tensor, "p p head"]
    """Attention from "=" to the first number, for every pair: a softmax over a, b and "="."""
    neurons: Float[Tensor, "p p d_mlp"]
    """Neurons after the ReLU, for every pair."""
    logits: Float[Tensor, "p p p"]
    """Logits for every pair; the last axis is the answer."""

    def loss(self) -> float:
        """Mean loss over all pairs, in nats."""
        answer = all_pairs(self.p).answer
        return float(torch.nn.functional.cross_entropy(self.logits.flatten(0, 1), answer))

    def accuracy(self) -> float:
        """Share of right answers over all pairs."""
        right = self.logits.flatten(0, 1).argmax(-1) == all_pairs(self.p).answer
        return float(right.double().mean())


def anatomy_of_weights(weights: Mapping[str, Tensor], p: int) -> Anatomy:
    """The anatomy of a model of this lab."""
    found = run_pairs(weights, all_pairs(p))
    return Anatomy(
        p,
        number_embedding(weights).double(),
        neurons_to_logits(weights),
        found.pattern[0].double().unflatten(0, (p, p)),
        found.neurons.double().unflatten(0, (p, p)),
        found.logits.double().unflatten(0, (p, p)),
    )


def anatomy_of_transformer(model: HookedTransformer) -> Anatomy:
    """The anatomy of any one-layer transformer that reads [a, b, =], with or without biases.

    Raises:
        ValueError: for a model of another shape.
    """
    if model.cfg.n_layers != 1 or model.cfg.n_ctx < 3 or model.cfg.normalization_type is not None:
        raise ValueError(
            "the analysis is for one layer that reads [a, b, =] and has no norms; this model has "
            f"{model.cfg.n_layers} layers, a context of {model.cfg.n_ctx} and norm {model.cfg.normalization_type}."
        )
    p = model.cfg.d_vocab - 1
    with torch.no_grad():
        logits, cache = model.run_with_cache(
            all_pairs(p).tokens(),
            names_filter=["blocks.0.attn.hook_pattern", "blocks.0.mlp.hook_post"],
        )
    return Anatomy(
        p,
        model.W_E.detach()[:p].double(),
        model.W_out.detach()[0].double() @ model.W_U.detach().double()[:, :p],
        cache["blocks.0.attn.hook_pattern"][:, :, 2, 0].double().unflatten(0, (p, p)),
        cache["blocks.0.mlp.hook_post"][:, -1].double().unflatten(0, (p, p)),
        logits[:, -1, :p].double().unflatten(0, (p, p)),
    )
