"""Attribute logits to components of the residual stream.

Each component is scaled as the norm scaled the whole stream, then projected on the direction of a token. Source:
Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits" (with the scale of the final norm held fixed,
logits are linear in the components of the residual stream).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from mechscope.arguments import checked_arguments
from mechscope.model.precision import at_least_float32
from mechscope.model.slice import Slice

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer


class DirectLogitAttribution:
    """The methods of a cache that scale components like a norm of the pass, and attribute logits to them."""

    model: HookedTransformer
    has_batch_dim: bool

    if TYPE_CHECKING:

        def __getitem__(self, key: str | tuple[Any, ...]) -> torch.Tensor: ...

    @checked_arguments
    def logit_attrs(
        self,
        residual_stack: torch.Tensor,
        tokens: str | int | list[Any] | torch.Tensor,
        incorrect_tokens: str | int | list[Any] | torch.Tensor | None = None,
        pos_slice: Any = None,
        batch_slice: Any = None,
        has_batch_dim: bool = True,
    ) -> torch.Tensor:
        """Direct logit attribution: the contribution of each component to a token's logit [component batch pos].

        Args:
            residual_stack: components [component batch pos d_model], not yet scaled by the final norm.
            tokens: one token, or one per example, or one per example and position; ids or strings.
            incorrect_tokens: attribute the difference between the logits of `tokens` and of these.
            pos_slice: the positions that the stack holds.
            batch_slice: the examples to keep.
            has_batch_dim: whether the stack has a batch axis.

        Raises:
            ValueError: for tokens or a stack whose shapes do not agree with this pass.
        """
        directions = self._logit_directions(tokens)
        if directions.numel() == 0:
            raise ValueError("there are no tokens whose logits could be attributed.")
        if incorrect_tokens is not None:
            wrong = self._logit_directions(incorrect_tokens)
            if wrong.shape != directions.shape:
                raise ValueError(
                    f"tokens and incorrect_tokens must have the same number: their directions are "
                    f"{tuple(directions.shape)} and {tuple(wrong.shape)}."
                )
            directions = directions - wrong
        scaled = self.apply_ln_to_stack(
            residual_stack,
            layer=-1,
            pos_slice=pos_slice,
            batch_slice=batch_slice,
            has_batch_dim=has_batch_dim,
        )
        batch = Slice.unwrap(batch_slice)
        if directions.ndim > 1 and batch.mode != "identity":
            directions = batch.apply(directions, dim=0)
        if directions.ndim == 2 and scaled.ndim == 4:
            directions = directions[:, None]  # one direction per example, for all its positions
        try:
            return (scaled * directions).sum(-1)
        except RuntimeError:
            raise ValueError(
                f"tokens give directions {tuple(directions.shape)}, but the stack is {tuple(scaled.shape)} [component "
                "batch pos d_model]: give one token, one per example, or one per example and position."
            ) from None

    def _logit_directions(self, tokens: str | int | list[Any] | torch.Tensor) -> torch.Tensor:
        directions = at_least_float32(self.model.tokens_to_residual_directions(tokens))
        if self.model.cfg.normalization_type in ("LN", "RMS"):
            weight = getattr(self.model.ln_final, "w", None)
            if weight is not None:
                directions = directions * weight
        return directions

    @checked_arguments
    def apply_ln_to_stack(
        self,
        residual_stack: torch.Tensor,
        layer: int | None = None,
        mlp_input: bool = False,
        pos_slice: Any = None,
        batch_slice: Any = None,
        has_batch_dim: bool = True,
        recompute_ln: bool = False,
    ) -> torch.Tensor:
        """Scale components [component … d_model] as a norm of this pass did: centre (LayerNorm only) and divide.

        The scale is held fixed, so the result is linear in the components. The norm's learned weights are not applied;
        fold them into the weights that read the norm.

        Args:
            residual_stack: components [component batch pos d_model].
            layer: use the norm that reads the residual stream at the start of this layer; None and -1 mean the final
                norm.
            mlp_input: use the norm before that layer's MLP.
            pos_slice: the positions that the stack holds.
            batch_slice: the examples to keep.
            has_batch_dim: whether the stack has a batch axis.
            recompute_ln: apply the whole final norm, with its learned weights, to each component separately.

        Raises:
            ValueError: for a stack whose width, batch or positions are not those of this pass.
        """
        cfg = self.model.cfg
        if residual_stack.ndim < 2 or residual_stack.shape[-1] != cfg.d_model:
            raise ValueError(
                f"components are vectors of the residual stream, [component … {cfg.d_model}], but the stack has shape "
                f"{tuple(residual_stack.shape)}."
            )
        if cfg.normalization_type is None:
            return residual_stack
        last = self._layers(layer)
        is_final = last == cfg.n_layers
        if self.has_batch_dim and has_batch_dim:
            residual_stack = Slice.unwrap(batch_slice).apply(residual_stack, dim=1)
        if recompute_ln:
            if not is_final:
                raise ValueError("recompute_ln is for the final norm: leave layer at -1.")
            return self.model.ln_final(residual_stack)
        residual_stack = at_least_float32(residual_stack)
        rms = cfg.normalization_type.startswith("RMS") or (is_final and cfg.final_rms)
        if not rms:
            residual_stack = residual_stack - residual_stack.mean(-1, keepdim=True)
        name = "ln_final.hook_scale" if is_final else f"blocks.{last}.ln{2 if mlp_input else 1}.hook_scale"
        scale = self._one_scale(name)
        scale = Slice.unwrap(pos_slice).apply(scale, dim=-2)
        if self.has_batch_dim and has_batch_dim:
            scale = Slice.unwrap(batch_slice).apply(scale, dim=0)
        elif self.has_batch_dim and scale.shape[0] == 1:
            scale = scale[0]
        try:
            fits = (
                torch.broadcast_shapes(residual_stack.shape[:-1], scale.shape[:-1])
                == residual_stack.shape[:-1]
            )
        except RuntimeError:
            fits = False
        if not fits:
            raise ValueError(
                f"the stack {tuple(residual_stack.shape)} does not belong to this pass, whose scale {name!r} has shape "
                f"{tuple(scale.shape)} at these examples and positions: give components [component batch pos d_model] "
                "of the same batch and positions (see pos_slice, batch_slice and has_batch_dim)."
            )
        return residual_stack / scale

    def _one_scale(self, name: str) -> torch.Tensor:
        """A norm's scale [batch pos 1], even if it was computed head by head [batch pos head 1]."""
        scale = self[name]
        if scale.ndim == (4 if self.has_batch_dim else 3):
            # The heads may sum the same numbers in a different order.
            first = scale[..., :1, :].expand_as(scale)
            if not torch.allclose(scale, first, rtol=8 * torch.finfo(scale.dtype).eps, atol=0):
                raise ValueError(
                    f"the heads had different inputs in this pass, so {name!r} has more than one scale."
                )
            scale = scale[..., 0, :]
        return scale

    def _layers(self, layer: int | None) -> int:
        n_layers = self.model.cfg.n_layers
        if layer is None or layer == -1:
            return n_layers
        if not 0 <= layer <= n_layers:
            raise ValueError(f"layer must be between 0 and {n_layers}, or -1 for the end, not {layer}.")
        return layer
