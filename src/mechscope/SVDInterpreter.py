"""The classic `SVDInterpreter`: project the singular directions of weight matrices on tokens.

Source: Millidge and Black 2022, "The Singular Value Decompositions of Transformer Weight Matrices are
Highly Interpretable".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float

from mechscope.model.factored_matrix import FactoredMatrix
from mechscope.model.precision import at_least_float32

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

VectorType = Literal["OV", "w_in", "w_out"]
VECTOR_TYPES = ("OV", "w_in", "w_out")
OUTPUT_EMBEDDING = "unembed.W_U"


class SVDInterpreter:
    """The singular vectors of a model's weights, as logits of tokens.

    Args:
        model: the model.

    >>> from mechscope.model.transformer import HookedTransformer
    >>> model = HookedTransformer({"n_layers": 1, "d_model": 8, "n_ctx": 4, "d_head": 4, "d_vocab": 5,
    ...                            "attn_only": True, "seed": 0})
    >>> SVDInterpreter(model).get_singular_vectors("OV", layer_index=0, head_index=1, num_vectors=2).shape
    torch.Size([5, 1, 2])
    """

    def __init__(self, model: HookedTransformer) -> None:
        self.model = model
        self.cfg = model.cfg

    @property
    def params(self) -> dict[str, torch.Tensor]:
        """The model's parameters by name."""
        return dict(self.model.named_parameters())

    def get_singular_vectors(
        self,
        vector_type: VectorType,
        layer_index: int,
        num_vectors: int = 10,
        head_index: int | None = None,
    ) -> Float[torch.Tensor, "d_vocab_out 1 vector"]:
        """The logits of each of the largest singular directions [d_vocab_out 1 vector].

        Args:
            vector_type: "OV" (output directions of a head), "w_in" (input directions of neurons, with the scale of
                ln2) or "w_out" (output directions of neurons).
            layer_index: the layer.
            num_vectors: how many directions, the largest first.
            head_index: the head, for "OV".

        Raises:
            ValueError: for an unknown vector type, a layer or head that the model does not have, or more directions
                than the rank of the matrix.
        """
        if vector_type not in VECTOR_TYPES:
            raise ValueError(f"vector_type must be one of {', '.join(VECTOR_TYPES)}, not {vector_type!r}.")
        if not 0 <= layer_index < self.cfg.n_layers:
            raise ValueError(f"there is no layer {layer_index}: this model has {self.cfg.n_layers}.")
        with torch.no_grad():
            directions = self._directions(vector_type, layer_index, head_index)
            if not 0 < num_vectors <= directions.shape[1]:
                raise ValueError(
                    f"num_vectors must be between 1 and {directions.shape[1]}, the rank of this matrix, "
                    f"not {num_vectors}."
                )
            unembedding = self.model.W_U.mT.to(directions.dtype)
            return (unembedding @ directions[:, :num_vectors]).unsqueeze(1)

    def _directions(self, vector_type: VectorType, layer: int, head: int | None) -> torch.Tensor:
        """The singular vectors in the residual stream, as columns [d_model rank]."""
        block = self.model.blocks[layer]
        if vector_type == "OV":
            if head is None or not 0 <= head < self.cfg.n_heads:
                raise ValueError(f"'OV' needs head_index, from 0 to {self.cfg.n_heads - 1}, not {head!r}.")
            return FactoredMatrix(block.attn.W_V[head], block.attn.W_O[head]).V
        if self.cfg.attn_only:
            raise ValueError(f"this model is attention-only: it has no {vector_type}; use 'OV'.")
        if vector_type == "w_out":
            return torch.linalg.svd(at_least_float32(block.mlp.W_out), full_matrices=False).Vh.mT
        W_in = at_least_float32(block.mlp.W_in)
        scale = getattr(block.ln2, "w", None)
        if scale is not None:
            W_in = W_in * scale[:, None]
        return torch.linalg.svd(W_in, full_matrices=False).U
