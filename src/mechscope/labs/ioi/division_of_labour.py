"""Three handicaps in training that give a twin the division of labour of GPT-2 small's circuit.

Left to itself, a model this small raises the logits of all the names and lowers that of the name that occurs twice.
That is not the published circuit: no head has to look for the right name. So only the last layer may write names, it
may only raise them, and often it has to read them from the words themselves. Training decides which heads notice the
repetition, and how the last layer learns where not to look.
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
    """Strength of each handicap; 0 switches it off."""

    early_words: float = 0.3
    """Weight in the loss of what heads before the last layer write directly to the logit of a name in the story."""
    against: float = 1.0
    """Weight in the loss of what heads of the last layer take from the logit of a name in the story."""
    plain_values: float = 0.5
    """Share of stories in which the last layer's values are computed from the words alone, without what heads added."""


class DivisionOfLabour:
    """Records one forward pass, and computes the penalty for it.

    Args:
        model: with norms and without MLPs.
        names: tokens of all names.
        cue: the token after which a name is expected.
        plain: whether the last layer's values are computed from the words alone, for each story [batch].
    """

    def __init__(self, model: HookedTransformer, names: Sequence[int], cue: int, plain: Tensor) -> None:
        self.model, self.cue, self.plain = model, cue, plain
        self.names = torch.as_tensor(list(names), device=model.W_E.device)
        self.last = model.cfg.n_layers - 1
        self.recorded: dict[str, Tensor] = {}

    def hooks(self) -> list[tuple[str, Any]]:
        """For `model.hooks(fwd_hooks=...)`."""
        layers = range(self.model.cfg.n_layers)
        names = [SCALE, EMBED, POS_EMBED, *(get_act_name("z", layer) for layer in layers)]
        recording: list[tuple[str, Any]] = [(name, self._record(name)) for name in names]
        return [*recording, (get_act_name("v", self.last), self._from_words)]

    def penalty(self, batch: Batch, handicaps: Handicaps) -> Tensor:
        """Mean penalty over the stories that end in the cue. Logits are relative to those of an average name."""
        device = self.names.device
        tokens, ends = batch.tokens.to(device), batch.answers.to(device) - 1
        rows = torch.arange(len(tokens), device=device)
        expected = tokens[rows, ends] == self.cue
        before_end = torch.arange(tokens.shape[1], device=device) <= ends[:, None]
        occurs = ((tokens[:, :, None] == self.names) & before_end[:, :, None]).any(1)  # [batch name]
        occurs = occurs & expected[:, None]
        names = self.model.W_U[:, self.names]
        names = names - names.mean(1, keepdim=True)
        scale = self.recorded[SCALE][rows, ends]  # [batch 1]
        total = torch.zeros((), device=device)
        for layer in range(self.last + 1):
            z = self.recorded[get_act_name("z", layer)][rows, ends]
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
            total = total + (cost * occurs[:, None]).sum()
        return total / expected.sum().clamp(min=1)

    def _record(self, name: str):
        def record(value: Tensor, hook: HookPoint) -> None:
            self.recorded[name] = value

        return record

    def _from_words(self, v: Tensor, hook: HookPoint) -> Tensor:
        block = self.model.blocks[self.last]
        words = block.ln1(self.recorded[EMBED] + self.recorded[POS_EMBED])
        plain = einsum(
            words, block.attn.W_V, "batch pos d_model, head d_model d_head -> batch pos head d_head"
        )
        return torch.where(self.plain[:, None, None, None], plain + block.attn.b_V, v)
