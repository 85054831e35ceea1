"""Every weight of a model by its classic name, with the layers stacked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch

from mechscope.model._weight_views import weight_copy
from mechscope.model.composition import composition_scores
from mechscope.model.factored_matrix import FactoredMatrix

if TYPE_CHECKING:
    from mechscope.model.config import HookedTransformerConfig


class WeightProperties:
    """`model.W_Q` [layer head d_model d_head] and so on; each access stacks the layers again.

    A stack is a copy, so writing to it is an error (`WeightCopy`): write to `model.blocks[layer].attn.W_Q`.
    """

    cfg: HookedTransformerConfig
    blocks: Any  # their class depends on the model

    def _stack(self, part: str, name: str) -> torch.Tensor:
        if part == "mlp" and self.cfg.attn_only:
            raise AttributeError(f"this model is attention-only: it has no MLPs, so no {name}.")
        if not self.cfg.n_layers:
            # Not an AttributeError, because torch would replace it with "has no attribute".
            raise ValueError(f"this model has no layers (n_layers=0), so no {name}.")
        with torch.inference_mode(False):
            stacked = torch.stack([getattr(getattr(block, part), name) for block in self.blocks])
        return weight_copy(
            stacked,
            f"model.{name} is a stacked copy of all layers' weights; write to model.blocks[layer].{part}.{name} inside "
            "torch.no_grad(), or .clone() it for a tensor of your own",
        )

    @property
    def W_U(self) -> torch.Tensor:
        """Unembedding [d_model d_vocab_out]."""
        return self.unembed.W_U  # type: ignore[attr-defined]

    @property
    def b_U(self) -> torch.Tensor:
        """Unembedding bias [d_vocab_out]."""
        return self.unembed.b_U  # type: ignore[attr-defined]

    @property
    def W_E(self) -> torch.Tensor:
        """Embedding [d_vocab d_model]."""
        return self.embed.W_E  # type: ignore[attr-defined]

    @property
    def W_pos(self) -> torch.Tensor:
        """Position embedding [n_ctx d_model]."""
        if not hasattr(self, "pos_embed"):
            raise AttributeError(
                f"this model has {self.cfg.positional_embedding_type} positions, so no W_pos."
            )
        return self.pos_embed.W_pos  # type: ignore[attr-defined]

    @property
    def W_E_pos(self) -> torch.Tensor:
        """Embedding and position embedding, concatenated [d_vocab+n_ctx d_model]."""
        with torch.inference_mode(False):
            joined = torch.cat([self.W_E, self.W_pos], dim=0)
        return weight_copy(
            joined,
            "model.W_E_pos is a copy of model.W_E and model.W_pos; write to those inside torch.no_grad(), or "
            ".clone() it for a tensor of your own",
        )

    @property
    def W_Q(self) -> torch.Tensor:
        """Query weights [layer head d_model d_head]."""
        return self._stack("attn", "W_Q")

    @property
    def W_K(self) -> torch.Tensor:
        """Key weights [layer head d_model d_head], one slice per query head."""
        return self._stack("attn", "W_K")

    @property
    def W_V(self) -> torch.Tensor:
        """Value weights [layer head d_model d_head], one slice per query head."""
        return self._stack("attn", "W_V")

    @property
    def W_O(self) -> torch.Tensor:
        """Output weights [layer head d_head d_model]."""
        return self._stack("attn", "W_O")

    @property
    def W_in(self) -> torch.Tensor:
        """MLP input weights [layer d_model d_mlp]."""
        return self._stack("mlp", "W_in")

    @property
    def W_gate(self) -> torch.Tensor | None:
        """MLP gate weights [layer d_model d_mlp]; None if MLPs are not gated."""
        return self._stack("mlp", "W_gate") if self.cfg.gated_mlp else None

    @property
    def W_out(self) -> torch.Tensor:
        """MLP output weights [layer d_mlp d_model]."""
        return self._stack("mlp", "W_out")

    @property
    def b_Q(self) -> torch.Tensor:
        """Query biases [layer head d_head]."""
        return self._stack("attn", "b_Q")

    @property
    def b_K(self) -> torch.Tensor:
        """Key biases [layer head d_head]."""
        return self._stack("attn", "b_K")

    @property
    def b_V(self) -> torch.Tensor:
        """Value biases [layer head d_head]."""
        return self._stack("attn", "b_V")

    @property
    def b_O(self) -> torch.Tensor:
        """Attention output biases [layer d_model]."""
        return self._stack("attn", "b_O")

    @property
    def b_in(self) -> torch.Tensor:
        """MLP input biases [layer d_mlp]."""
        return self._stack("mlp", "b_in")

    @property
    def b_out(self) -> torch.Tensor:
        """MLP output biases [layer d_model]."""
        return self._stack("mlp", "b_out")

    @property
    def QK(self) -> FactoredMatrix:
        """W_Q W_K^T [layer head d_model d_model], which gives attention scores from destination and source."""
        return FactoredMatrix(self.W_Q, self.W_K.mT)

    @property
    def OV(self) -> FactoredMatrix:
        """W_V W_O [layer head d_model d_model], which maps an attended source to the head's output."""
        return FactoredMatrix(self.W_V, self.W_O)

    def all_head_labels(self) -> list[str]:
        """The names of all heads, "L0H0", "L0H1" and so on, in the order of stacked heads."""
        return [f"L{layer}H{head}" for layer in range(self.cfg.n_layers) for head in range(self.cfg.n_heads)]

    def accumulated_bias(
        self, layer: int, mlp_input: bool = False, include_mlp_biases: bool = True
    ) -> torch.Tensor:
        """The sum of all output biases in the residual stream at the start of `layer` [d_model].

        Args:
            layer: count the biases of the blocks before this one.
            mlp_input: also count the attention bias of that layer, for the input of its MLP.
            include_mlp_biases: also count the biases of MLPs.

        Raises:
            ValueError: for a layer that the model does not have, or if the outputs of sublayers are normalized, so that
                biases are not a separate term.
        """
        if not 0 <= layer <= self.cfg.n_layers - (1 if mlp_input else 0):
            raise ValueError(f"layer must be between 0 and {self.cfg.n_layers}, not {layer}.")
        if self.cfg.norm_placement != "pre":
            raise ValueError(
                "this model normalizes the outputs of its sublayers, so biases are not a separate term of the stream."
            )
        total = torch.zeros(self.cfg.d_model, dtype=self.W_E.dtype, device=self.W_E.device)
        for block in list(self.blocks)[:layer]:
            total = total + block.attn.b_O
            if include_mlp_biases and not self.cfg.attn_only:
                total = total + block.mlp.b_out
        if mlp_input:
            total = total + self.blocks[layer].attn.b_O
        return total

    def all_composition_scores(self, mode: Literal["Q", "K", "V"]) -> torch.Tensor:
        """How strongly each head composes with each head of an earlier layer [earlier_layer head later_layer head].

        The score is ‖W_OV W_read‖ / (‖W_OV‖ ‖W_read‖) in Frobenius norms, where W_read is the later head's QK (mode Q),
        its transpose (K) or its OV (V). Entries that do not lead from an earlier to a later layer are 0. Source: Elhage
        et al. 2021, "Three kinds of composition".

        Raises:
            ValueError: for an unknown mode.
        """
        if mode not in ("Q", "K", "V"):
            raise ValueError(f"mode must be 'Q', 'K' or 'V', not {mode!r}.")
        reads = {"Q": lambda: self.QK, "K": lambda: self.QK.T, "V": lambda: self.OV}[mode]()
        left = self.OV[:, :, None, None]
        right = reads[None, None]
        scores = composition_scores(left, right, broadcast_dims=False)
        layers = torch.arange(self.cfg.n_layers, device=scores.device)
        earlier = layers[:, None, None, None] < layers[None, None, :, None]
        return torch.where(earlier, scores, torch.zeros_like(scores))
