"""What keeps a twin to the division of labour of GPT-2 small's circuit while it trains: three handicaps.

Left to itself, a model this small names everybody and takes the one who came twice away again. That is another circuit
than the published one: nobody has to look for the right name. So the last layer alone may write names, only for them,
and often has to read them from the words themselves. Which heads find out who came twice, and how they tell the last
layer where not to look, is left to the training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from einops import einsum
from torch import Tensor

from mechscope.labs.ioi.stories import Batch
from mechscope.model.names import get_act_name

if TYPE_CHECKING:
    from mechscope.model.hook_points import HookPoint
    from mechscope.model.transformer import HookedTransformer

SCALE = "ln_final.hook_scale"
EMBED, POS_EMBED = "hook_embed", "hook_pos_embed"


@dataclass(frozen=True)
class Handicaps:
    """How strong each handicap is; 0 switches it off."""

    early_words: float = 0.3
    """Weight in the loss of what heads before the last layer write straight to a name that was said, for or against."""
    against: float = 1.0
    """Weight in the loss of what heads of the last layer write against a name that was said."""
    plain_values: float = 0.5
    """Share of stories in which the last layer's values are made from the words alone, not from what heads added."""


class DivisionOfLabour:
    """Watches one forward pass, and says what it cost.

    Args:
        model: with norms and without MLPs.
        names: tokens of all names.
        cue: the token after which a name is due.
        plain: for which stories the last layer's values are made from the words alone [batch].
    """

    def __init__(self, model: HookedTransformer, names: Sequence[int], cue: int, plain: Tensor) -> None:
        self.model, self.cue, self.plain = model, cue, plain
        self.names = torch.as_tensor(list(names), device=model.W_E.device)
        self.last = model.cfg.n_layers - 1
        self.seen: dict[str, Tensor] = {}

    def hooks(self) -> list[tuple[str, Any]]:
        """For `model.hooks(fwd_hooks=...)`."""
        layers = range(self.model.cfg.n_layers)
        watched = [SCALE, EMBED, POS_EMBED, *(get_act_name("z", layer) for layer in layers)]
        watching: list[tuple[str, Any]] = [(name, self._watch(name)) for name in watched]
        return [*watching, (get_act_name("v", self.last), self._from_words)]

    def penalty(self, batch: Batch, handicaps: Handicaps) -> Tensor:
        """The mean over stories that end in the cue, in logits beyond those of an average name."""
        device = self.names.device
        tokens, ends = batch.tokens.to(device), batch.answers.to(device) - 1
        rows = torch.arange(len(tokens), device=device)
        due = tokens[rows, ends] == self.cue
        until = torch.arange(tokens.shape[1], device=device) <= ends[:, None]
        said = ((tokens[:, :, None] == self.names) & until[:, :, None]).any(1) & due[:, None]  # [batch name]
        names = self.model.W_U[:, self.names]
        names = names - names.mean(1, keepdim=True)
        scale = self.seen[SCALE][rows, ends]  # [batch 1]
        total = torch.zeros((), device=device)
        for layer in range(self.last + 1):
            z = self.seen[get_act_name("z", layer)][rows, ends]
            written = einsum(
                z,
                self.model.blocks[layer].attn.W_O,
                "batch head d_head, head d_head d_model -> batch head d_model",
            )
            logits = einsum(
                written / scale[:, None], names, "batch head d_model, d_model name -> batch head name"
            )
            if layer < self.last:
                cost = handicaps.early_words * logits.abs()
            else:
                cost = handicaps.against * torch.relu(-logits)
            total = total + (cost * said[:, None]).sum()
        return total / due.sum().clamp(min=1)

    def _watch(self, name: str):
        def keep(value: Tensor, hook: HookPoint) -> None:
            self.seen[name] = value

        return keep

    def _from_words(self, v: Tensor, hook: HookPoint) -> Tensor:
        block = self.model.blocks[self.last]
        words = block.ln1(self.seen[EMBED] + self.seen[POS_EMBED])
        plain = einsum(
            words, block.attn.W_V, "batch pos d_model, head d_model d_head -> batch pos head d_head"
        )
        return torch.where(self.plain[:, None, None, None], plain + block.attn.b_V, v)
