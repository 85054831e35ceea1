"""The change at the inputs of receivers when senders write what they write on another prompt.

The change at a receiver's input is the sum over senders of (what they write on the source prompt) - (what they write
on the base prompt), with everything between them as on the base prompt. Optionally the MLPs between are recomputed on
the changed stream, and pass on the change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float

from mechscope.model.names import get_act_name
from mechscope.techniques._node_names import NodeName
from mechscope.techniques.sweep.base_run import BaseRun

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

Difference = Float[torch.Tensor, "batch pos d_model"]


class DirectPaths:
    """Computes the changes at the inputs of receivers.

    Args:
        base: the run that is patched.
        source: the run that provides the senders' outputs.
        through_mlps: recompute the MLPs between sender and receiver.
        positions: True where senders send [batch pos]; None for all positions.
    """

    def __init__(
        self,
        model: HookedTransformer,
        base: BaseRun,
        source: BaseRun,
        through_mlps: bool = False,
        positions: Bool[torch.Tensor, "batch pos"] | None = None,
    ) -> None:
        self.model, self.base, self.source, self.through_mlps = model, base, source, through_mlps
        self.positions = positions
        self.parallel = model.cfg.parallel_attn_mlp

    def require(self, senders: Sequence[NodeName], also: Sequence[str] = ()) -> None:
        """Compute in one pass each what `at` needs of both runs, and other activations of the base run."""
        hooks: set[str] = set()
        for sender in senders:
            hooks.update(_written_at(self.model, sender))
        self.source.require(sorted(hooks))
        layers = {sender.layer for sender in senders if sender.kind == "head"}
        hooks |= {get_act_name("attn_out", layer) for layer in layers}
        if self.through_mlps and not self.model.cfg.attn_only:
            for layer in range(self.model.cfg.n_layers):
                stream = "resid_pre" if self.parallel else "resid_mid"
                hooks |= {get_act_name(stream, layer), get_act_name("mlp_out", layer)}
        self.base.require(sorted({*hooks, *also}))

    def at(self, senders: Sequence[NodeName], receivers: Sequence[NodeName]) -> list[Difference | None]:
        """The change in each receiver's input; None if no path leads there."""
        cfg = self.model.cfg
        arriving: dict[tuple[str, int], Difference | None] = {}
        stream = self._sent("input", 0, senders)
        for layer in range(cfg.n_layers):
            arriving["head", layer] = stream
            after = _add(stream, self._sent("head", layer, senders))
            if not cfg.attn_only:
                read = stream if self.parallel else after
                arriving["mlp", layer] = read
                after = _add(after, self._from_mlp(layer, senders, read))
            stream = after
        arriving["logits", 0] = stream
        return [arriving[receiver.kind, receiver.layer] for receiver in receivers]

    def _from_mlp(
        self, layer: int, senders: Sequence[NodeName], read: Difference | None
    ) -> Difference | None:
        """The change in what an MLP writes, as a sender or because it is recomputed."""
        if self.through_mlps and read is not None and NodeName("mlp", layer) not in senders:
            return self._passed_on(layer, read)
        return self._sent("mlp", layer, senders)

    def _sent(self, kind: str, layer: int, senders: Sequence[NodeName]) -> Difference | None:
        """Source minus base of what senders of one kind and layer write; None without such senders."""
        own = [sender for sender in senders if (sender.kind, sender.layer) == (kind, layer)]
        if not own:
            return None
        written = self._written(kind, layer, own)
        return written if self.positions is None else written * self.positions[..., None].to(written.device)

    def _passed_on(self, layer: int, difference: Difference) -> Difference:
        """The change in an MLP's output due to a change in its input."""
        stream = get_act_name("resid_pre" if self.parallel else "resid_mid", layer)
        with torch.no_grad():
            out = self.model.blocks[layer].mlp_output(self.base[stream] + difference)
        return out - self.base[get_act_name("mlp_out", layer)]

    def _written(self, kind: str, layer: int, senders: Sequence[NodeName]) -> Difference:
        """Source minus base of what these parts of one layer write into the residual stream."""
        if kind == "input":
            hooks = _written_at(self.model, NodeName("input"))
            return sum(
                (self.source[hook] - self.base[hook] for hook in hooks),
                torch.zeros(()).to(self.base[hooks[0]]),
            )
        if kind == "mlp":
            hook = get_act_name("mlp_out", layer)
            return self.source[hook] - self.base[hook]
        # All heads together, because they do not simply add up if a norm follows.
        z = self.base[get_act_name("z", layer)].clone()
        heads = [sender.index for sender in senders]
        z[:, :, heads] = self.source[get_act_name("z", layer)][:, :, heads]
        block = self.model.blocks[layer]
        with torch.no_grad():
            out = block.attention_output(z)
        return out - self.base[get_act_name("attn_out", layer)]


def _add(one: Difference | None, other: Difference | None) -> Difference | None:
    if one is None or other is None:
        return other if one is None else one
    return one + other


def _written_at(model: HookedTransformer, sender: NodeName) -> list[str]:
    """The hook points from which a sender's output is computed."""
    if sender.kind == "input":
        added = model.cfg.positional_embedding_type == "standard"
        return ["hook_embed", *(["hook_pos_embed"] if added else [])]
    return [get_act_name("z" if sender.kind == "head" else "mlp_out", sender.layer)]
