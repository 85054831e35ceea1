"""Reading the circuit off the weights: who composes with whom, and what a head copies."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.model.composition import composition_scores
from mechscope.model.factored_matrix import FactoredMatrix
from mechscope.model.transformer import HookedTransformer
from mechscope.techniques.ov_qk_circuits import eigenvalue_score


@dataclass(frozen=True)
class ReadableWeights:
    """A model's matrices with its LayerNorms' scales multiplied in, so that products of them mean what they say.

    They are on the CPU whatever the model's device: not every device has eigenvalues.
    A LayerNorm takes the mean out of what it reads, so what is written to the residual stream is centred too;
    and a softmax takes no notice of what all tokens share, so the unembedding is.
    """

    W_E: Float[Tensor, "d_vocab d_model"]
    W_Q: Float[Tensor, "layer head d_model d_head"]
    W_K: Float[Tensor, "layer head d_model d_head"]
    W_V: Float[Tensor, "layer head d_model d_head"]
    W_O: Float[Tensor, "layer head d_head d_model"]
    W_U: Float[Tensor, "d_model d_vocab"]


def readable_weights(model: HookedTransformer) -> ReadableWeights:
    """The readable matrices of a model with LayerNorms or without any.

    Written out here because the usual folding does not apply: positions that are added to the inputs of
    queries and keys (shortformer) come after the norm, so its scale cannot move into W_Q and W_K for good.
    """
    with torch.no_grad():
        reading = {"W_Q": model.W_Q, "W_K": model.W_K, "W_V": model.W_V}
        writing = {"W_E": model.W_E, "W_O": model.W_O}
        unembedding = model.W_U
        if model.cfg.normalization_type == "LN":
            scales = torch.stack(
                [model.get_parameter(f"blocks.{n}.ln1.w") for n in range(model.cfg.n_layers)]
            )
            reading = {name: scales[:, None, :, None] * weight for name, weight in reading.items()}
            writing = {name: weight - weight.mean(-1, keepdim=True) for name, weight in writing.items()}
            unembedding = model.get_parameter("ln_final.w")[:, None] * unembedding
        elif model.cfg.normalization_type is not None:
            raise ValueError(f"readable weights are for LN or no norm, not {model.cfg.normalization_type!r}.")
        parts = {**reading, **writing, "W_U": unembedding - unembedding.mean(-1, keepdim=True)}
        return ReadableWeights(**{name: weight.detach().cpu() for name, weight in parts.items()})


def k_composition(weights: ReadableWeights) -> Float[Tensor, "head_out head_in"]:
    """‖W_OV W_QKᵀ‖ / (‖W_OV‖ ‖W_QK‖) of every head of layer 0 with every head of layer 1.

    Large where the keys of the later head read what the earlier one writes. Source: Elhage et al. (2021).
    """
    writes = FactoredMatrix(weights.W_V[0], weights.W_O[0])
    keys_read = FactoredMatrix(weights.W_K[1], weights.W_Q[1].mT)
    return composition_scores(writes, keys_read)


def random_k_composition(model: HookedTransformer, seed: int, draws: int = 64) -> Float[Tensor, " draws"]:
    """The same score for heads of the same shapes with normally distributed weights: about 1 / √d_model."""
    generator = torch.Generator().manual_seed(seed)
    width, inner = model.cfg.d_model, model.cfg.d_head

    def random_heads() -> FactoredMatrix:
        return FactoredMatrix(
            torch.randn(draws, width, inner, generator=generator),
            torch.randn(draws, inner, width, generator=generator),
        )

    return composition_scores(random_heads(), random_heads(), broadcast_dims=False)


def copying_scores(weights: ReadableWeights) -> Float[Tensor, "layer head"]:
    """Σ Re λ / Σ |λ| over the eigenvalues of W_E W_OV W_U: 1 for a head that only ever copies, 0 for none.

    The nonzero eigenvalues of that vocabulary-sized matrix are those of a d_head × d_head one, which is all
    that is computed. Source: Elhage et al. (2021), "copying and the eigenvalues of the OV circuit".
    """
    return eigenvalue_score(FactoredMatrix(weights.W_E @ weights.W_V, weights.W_O @ weights.W_U))
