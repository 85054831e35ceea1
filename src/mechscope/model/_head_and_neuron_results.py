"""Decompose the residual stream into the outputs of single heads and neurons.

Source: Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from einops import einsum

from mechscope.arguments import checked_arguments
from mechscope.model._residual_decomposition import ResidualDecomposition
from mechscope.model.names import get_act_name
from mechscope.model.slice import Slice


class HeadAndNeuronResults(ResidualDecomposition):
    """The methods of a cache that return the outputs of heads and neurons."""

    def compute_head_results(self) -> None:
        """Add the output of each head [batch pos head d_model] to the cache, computed from z."""
        for layer, block in enumerate(self.model.blocks):
            name = get_act_name("result", layer)
            if name not in self.cache_dict:
                self.cache_dict[name] = einsum(
                    self["z", layer],
                    block.attn.W_O,
                    "... head d_head, head d_head d_model -> ... head d_model",
                )

    @checked_arguments
    def stack_head_results(
        self,
        layer: int = -1,
        return_labels: bool = False,
        incl_remainder: bool = False,
        pos_slice: Any = None,
        apply_ln: bool = False,
    ) -> torch.Tensor | tuple[torch.Tensor, list[str]]:
        """The output of each head in the layers before `layer` [component batch pos d_model].

        Args:
            layer: stop at the start of this layer; -1 means the end of the model.
            return_labels: also return a label for each component.
            incl_remainder: add a component with the rest of the residual stream.
            pos_slice: the positions to keep.
            apply_ln: scale the components like the norm that reads the residual stream at `layer`.

        Raises:
            ValueError: for a model that normalizes the outputs of its sublayers.
        """
        self._refuse_output_norms("head")
        last = self._layers(layer)
        positions = Slice.unwrap(pos_slice)
        n_heads = self.model.cfg.n_heads
        pieces = []
        for index in range(last):
            z = positions.apply(self["z", index], dim=-3)
            W_O = self.model.blocks[index].attn.W_O
            result = einsum(z, W_O, "... head d_head, head d_head d_model -> head ... d_model")
            pieces += list(result)
        labels = [f"L{index}H{head}" for index in range(last) for head in range(n_heads)]
        return self._finish(pieces, labels, last, incl_remainder, pos_slice, apply_ln, layer, return_labels)

    @checked_arguments
    def get_neuron_results(
        self,
        layer: int,
        neuron_slice: Any = None,
        pos_slice: Any = None,
        project_output_onto: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The output of each neuron of one MLP [batch pos neuron d_model].

        Args:
            layer: the layer of the MLP.
            neuron_slice: the neurons to keep.
            pos_slice: the positions to keep.
            project_output_onto: directions [d_model] or [d_model direction]; returns the projection on them
                [batch pos neuron] or [batch pos neuron direction].

        Raises:
            ValueError: for a model without MLPs, or one that normalizes the outputs of its sublayers.
        """
        self._refuse_output_norms("neuron")
        if self.model.cfg.attn_only:
            raise ValueError("this model is attention-only: it has no neurons.")
        post = Slice.unwrap(pos_slice).apply(self["post", layer], dim=-2)
        W_out = self.model.blocks[layer].mlp.W_out
        neurons = _keep_axis(neuron_slice)
        post, W_out = neurons.apply(post, dim=-1), neurons.apply(W_out, dim=0)
        if project_output_onto is not None:
            W_out = W_out @ project_output_onto.to(W_out)
        return post * W_out if W_out.ndim == 1 else post[..., None] * W_out

    @checked_arguments
    def stack_neuron_results(
        self,
        layer: int,
        pos_slice: Any = None,
        neuron_slice: Any = None,
        return_labels: bool = False,
        incl_remainder: bool = False,
        apply_ln: bool = False,
        project_output_onto: torch.Tensor | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, list[str]]:
        """The output of each neuron in the layers before `layer` [component batch pos d_model].

        Args:
            layer: stop at the start of this layer; -1 means the end of the model.
            pos_slice: the positions to keep.
            neuron_slice: the neurons of each layer to keep.
            return_labels: also return a label for each component.
            incl_remainder: add a component with the rest of the residual stream.
            apply_ln: scale the components like the norm that reads the residual stream at `layer`.
            project_output_onto: directions [d_model] or [d_model direction]; the components are projected on them
                layer by layer, so the whole stack is never in memory.
        """
        last = self._layers(layer)
        pieces: list[torch.Tensor] = []
        labels: list[str] = []
        neurons = _keep_axis(neuron_slice)
        if not self.model.cfg.attn_only:
            chosen = neurons.apply(torch.arange(self.model.cfg.d_mlp or 0), dim=0).tolist()
            labels = [f"L{index}N{neuron}" for index in range(last) for neuron in chosen]
        if project_output_onto is not None:
            by_layer = (
                self.get_neuron_results(index, neuron_slice, pos_slice).movedim(-2, 0)
                for index in range(last if labels else 0)
            )
            projected = self._projected(
                by_layer, project_output_onto, last, incl_remainder, pos_slice, apply_ln, layer
            )
            labels = [*labels, *(["remainder"] if incl_remainder else [])]
            return (projected, labels) if return_labels else projected
        if labels:
            for index in range(last):
                pieces += list(self.get_neuron_results(index, neuron_slice, pos_slice).movedim(-2, 0))
        return self._finish(pieces, labels, last, incl_remainder, pos_slice, apply_ln, layer, return_labels)

    def _projected(
        self,
        by_layer: Iterable[torch.Tensor],
        onto: torch.Tensor,
        last: int,
        incl_remainder: bool,
        pos_slice: Any,
        apply_ln: bool,
        layer: int,
    ) -> torch.Tensor:
        """Project components that are computed one layer at a time, each before the next is computed."""
        where = get_act_name(*(("resid_post", last - 1) if last else ("resid_pre", 0)))
        remainder = self._at(where, pos_slice)
        empty = remainder.new_zeros(0, *remainder.shape)

        def project(stack: torch.Tensor) -> torch.Tensor:
            if apply_ln:
                stack = self.apply_ln_to_stack(stack, layer, pos_slice=pos_slice)
            return stack @ onto.to(stack)

        parts = [empty @ onto.to(empty)]
        for stack in by_layer:
            remainder = remainder - stack.sum(0)
            parts.append(project(stack))
        if incl_remainder:
            parts.append(project(remainder[None]))
        return torch.cat(parts)

    @checked_arguments
    def get_full_resid_decomposition(
        self,
        layer: int | None = None,
        mlp_input: bool = False,
        expand_neurons: bool = True,
        apply_ln: bool = False,
        pos_slice: Any = None,
        return_labels: bool = False,
        project_output_onto: torch.Tensor | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, list[str]]:
        """The outputs of every head and neuron (or MLP), the embeddings and the biases [component batch pos d_model].

        They sum to the residual stream at `layer`.

        Args:
            layer: stop at the start of this layer; None and -1 mean the end of the model.
            mlp_input: also include the attention of that layer.
            expand_neurons: return each neuron separately, and not each MLP.
            apply_ln: scale the components like the norm that reads the residual stream there.
            pos_slice: the positions to keep.
            return_labels: also return a label for each component.
            project_output_onto: directions [d_model] or [d_model direction]; the components are projected on them
                layer by layer, so the outputs of all neurons are never in memory together.

        Raises:
            ValueError: for a model that normalizes the outputs of its sublayers.
        """
        last = self._layers(layer)
        parts: list[torch.Tensor] = []
        labels: list[str] = []

        def add(stack: torch.Tensor, names: list[str]) -> None:
            if apply_ln:
                stack = self.apply_ln_to_stack(stack, layer, mlp_input, pos_slice=pos_slice)
            parts.append(
                stack if project_output_onto is None else stack @ project_output_onto.to(stack.dtype)
            )
            labels.extend(names)

        heads_until = last + 1 if mlp_input else last
        if heads_until:
            add(*self.stack_head_results(heads_until, pos_slice=pos_slice, return_labels=True))  # type: ignore[misc]
        if not self.model.cfg.attn_only and last:
            if expand_neurons:
                for index in range(last):
                    neurons = self.get_neuron_results(index, pos_slice=pos_slice).movedim(-2, 0)
                    add(neurons, [f"L{index}N{neuron}" for neuron in range(neurons.shape[0])])
            else:
                add(
                    *self.decompose_resid(  # type: ignore[misc]
                        last, mode="mlp", incl_embeds=False, pos_slice=pos_slice, return_labels=True
                    )
                )
        names, embedding_labels = self._embeddings()
        embeddings = torch.stack([self._at(name, pos_slice) for name in names])
        add(embeddings, embedding_labels)
        bias = self.model.accumulated_bias(last, mlp_input, include_mlp_biases=expand_neurons)
        add(bias.expand_as(embeddings[0])[None], ["bias"])
        pieces = torch.cat(parts)
        return (pieces, labels) if return_labels else pieces

    def _finish(
        self,
        pieces: list[torch.Tensor],
        labels: list[str],
        last: int,
        incl_remainder: bool,
        pos_slice: Any,
        apply_ln: bool,
        layer: int,
        return_labels: bool,
    ) -> torch.Tensor | tuple[torch.Tensor, list[str]]:
        stack = self._stack(pieces, pos_slice)
        if incl_remainder:
            if last == self.model.cfg.n_layers:
                stream = self._end(pos_slice)
            else:
                stream = self._at(get_act_name("resid_pre", last), pos_slice)
            remainder = stream - stack.sum(0)
            stack = torch.cat([stack, remainder[None]])
            labels = [*labels, "remainder"]
        if apply_ln:
            stack = self.apply_ln_to_stack(stack, layer, pos_slice=pos_slice)
        return (stack, labels) if return_labels else stack

    def _refuse_output_norms(self, what: str) -> None:
        if self.model.cfg.norm_placement != "pre":
            raise ValueError(
                f"this model normalizes the output of each sublayer, so a single {what} does not add its output to "
                "the residual stream; decompose_resid gives the outputs of attention and MLP."
            )


def _keep_axis(neuron_slice: Any) -> Slice:
    """A slice that keeps an axis of size 1 where an index would drop it."""
    neurons = Slice.unwrap(neuron_slice)
    return Slice([int(neurons.slice)]) if isinstance(neurons.slice, int) else neurons
