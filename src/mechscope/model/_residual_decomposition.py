"""Decompose the residual stream of a pass into the outputs of its layers.

The residual stream is a sum, and the methods here return its terms; together with the biases, they add up to the whole.
Source: Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits".
"""

from __future__ import annotations

from typing import Any, Literal

import torch

from mechscope.arguments import checked_arguments
from mechscope.model._direct_logit_attribution import DirectLogitAttribution
from mechscope.model.final_residual import final_residual
from mechscope.model.names import get_act_name
from mechscope.model.slice import Slice


class ResidualDecomposition(DirectLogitAttribution):
    """The methods of a cache that decompose the residual stream."""

    cache_dict: dict[str, torch.Tensor]

    @checked_arguments
    def accumulated_resid(
        self,
        layer: int | None = None,
        incl_mid: bool = False,
        apply_ln: bool = False,
        pos_slice: Any = None,
        mlp_input: bool = False,
        return_labels: bool = False,
    ) -> torch.Tensor | tuple[torch.Tensor, list[str]]:
        """The residual stream at the start of each layer [component batch pos d_model].

        Args:
            layer: stop at the start of this layer; None and -1 mean the end of the model.
            incl_mid: also include the residual stream between attention and MLP.
            apply_ln: apply the final norm to each component, as if the model ended there (the logit lens); if `layer`
                is earlier, scale all components like the norm that reads the stream there.
            pos_slice: the positions to keep.
            mlp_input: stop at the input of that layer's MLP.
            return_labels: also return a label for each component.
        """
        last = self._layers(layer)
        names: list[str | None] = []
        labels: list[str] = []
        for index in range(last + 1):
            if index == self.model.cfg.n_layers:
                names.append(None)
                labels.append("final_post")
                continue
            names.append(get_act_name("resid_pre", index))
            labels.append(f"{index}_pre")
            wants_mid = (incl_mid and index < last) or (mlp_input and index == last)
            if wants_mid and get_act_name("resid_mid", index) in self.cache_dict:
                names.append(get_act_name("resid_mid", index))
                labels.append(f"{index}_mid")
        pieces = torch.stack(
            [self._end(pos_slice) if name is None else self._at(name, pos_slice) for name in names]
        )
        if apply_ln:
            at_the_end = last == self.model.cfg.n_layers
            pieces = self.apply_ln_to_stack(
                pieces, layer, mlp_input, pos_slice=pos_slice, recompute_ln=at_the_end
            )
        return (pieces, labels) if return_labels else pieces

    @checked_arguments
    def decompose_resid(
        self,
        layer: int | None = None,
        mlp_input: bool = False,
        mode: Literal["all", "mlp", "attn"] = "all",
        apply_ln: bool = False,
        pos_slice: Any = None,
        incl_embeds: bool = True,
        return_labels: bool = False,
    ) -> torch.Tensor | tuple[torch.Tensor, list[str]]:
        """The outputs of the embeddings and of each layer's attention and MLP [component batch pos d_model].

        With mode "all" and the embeddings, the components sum to the residual stream at `layer`.

        Args:
            layer: stop at the start of this layer; None and -1 mean the end of the model.
            mlp_input: also include the attention of that layer.
            mode: "all", or only "attn" or "mlp".
            apply_ln: scale the components like the norm that reads the residual stream at `layer`.
            pos_slice: the positions to keep.
            incl_embeds: include the embeddings.
            return_labels: also return a label for each component.
        """
        if mode not in ("all", "mlp", "attn"):
            raise ValueError(f"mode must be 'all', 'mlp' or 'attn', not {mode!r}.")
        last = self._layers(layer)
        names, labels = [], []
        if incl_embeds:
            names, labels = self._embeddings()
        for index in range(last):
            if mode in ("all", "attn"):
                names.append(get_act_name("attn_out", index))
                labels.append(f"{index}_attn_out")
            if mode in ("all", "mlp") and not self.model.cfg.attn_only:
                names.append(get_act_name("mlp_out", index))
                labels.append(f"{index}_mlp_out")
        if mlp_input and mode in ("all", "attn"):
            names.append(get_act_name("attn_out", last))
            labels.append(f"{last}_attn_out")
        pieces = self._stack([self._at(name, pos_slice) for name in names], pos_slice)
        if apply_ln:
            pieces = self.apply_ln_to_stack(pieces, layer, mlp_input, pos_slice=pos_slice)
        return (pieces, labels) if return_labels else pieces

    def _embeddings(self) -> tuple[list[str], list[str]]:
        names, labels = ["hook_embed"], ["embed"]
        if self.model.cfg.positional_embedding_type == "standard":
            names.append("hook_pos_embed")
            labels.append("pos_embed")
        return names, labels

    @checked_arguments
    def stack_activation(
        self, activation_name: str, layer: int = -1, sublayer_type: str | None = None
    ) -> torch.Tensor:
        """One activation of every layer before `layer`, stacked [layer …].

        Args:
            activation_name: a short name such as "q" or "resid_pre".
            layer: stop before this layer; -1 means all layers.
            sublayer_type: see `get_act_name`.

        Raises:
            ValueError: if there is no layer before `layer`.
        """
        last = self._layers(layer)
        if last == 0:
            why = (
                "this model has no layers"
                if self.model.cfg.n_layers == 0
                else "give a larger one, or -1 for all"
            )
            raise ValueError(
                f"there are no layers before `layer` from which to stack {activation_name!r}: {why}."
            )
        return torch.stack(
            [self.cache_dict[get_act_name(activation_name, i, sublayer_type)] for i in range(last)]
        )

    def _at(self, name: str, pos_slice: Any) -> torch.Tensor:
        return Slice.unwrap(pos_slice).apply(self[name], dim=-2)

    def _end(self, pos_slice: Any) -> torch.Tensor:
        """The residual stream that the final norm reads."""
        return final_residual(self.model.cfg, lambda name: self._at(name, pos_slice))

    def _stack(self, pieces: list[torch.Tensor], pos_slice: Any) -> torch.Tensor:
        if pieces:
            return torch.stack(pieces)
        like = self._at("hook_embed", pos_slice)
        return like.new_zeros(0, *like.shape)
