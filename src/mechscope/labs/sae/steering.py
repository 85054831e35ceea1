"""Steering: add a feature's decoder row to the neurons, and measure which logits change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.dictionaries.evaluation import logit_effects
from mechscope.labs.sae.language_model import HOOK
from mechscope.labs.sae.text_study import TextStudy

TOP = 5
"""How many tokens count as a feature's own: those that it promotes most by the direct path."""
ROWS = 16
"""Held-out sequences that the model is steered on."""


@dataclass(frozen=True)
class Steering:
    """The effect of each dose of each feature."""

    features: tuple[int, ...]
    """Which features."""
    doses: tuple[float, ...]
    """In units of the feature's largest activation."""
    own: Float[Tensor, "feature coefficient"]
    """Mean change of the logits of its own tokens, each relative to the mean over all logits."""
    others: Float[Tensor, "feature coefficient"]
    """Mean change of the logits of the other features' tokens."""

    @property
    def signs(self) -> float:
        """Share of features whose own logits rise with every positive dose and fall with every negative one."""
        wanted = torch.tensor(self.doses).sign()
        return float((self.own.sign() == wanted).all(1).double().mean())

    @property
    def monotone(self) -> float:
        """Share of features whose own logits rise from each dose to the next."""
        return float((self.own.diff(dim=1) > 0).all(1).double().mean())

    @property
    def specific(self) -> float:
        """Change of own logits over the absolute change of the others, at the largest dose, averaged over features."""
        return float(self.own[:, -1].mean() / self.others[:, -1].abs().mean())


def steer(study: TextStudy, count: int, doses: Sequence[float], seed: int) -> Steering:
    """Steer with features drawn at random among those that are active on the held-out text."""
    model, dictionary = study.model, study.chosen
    with torch.no_grad():
        values = dictionary.encode(study.test).flatten(0, 1)
    alive = (values > 0).any(0).nonzero().flatten().cpu()
    order = torch.randperm(len(alive), generator=torch.Generator().manual_seed(seed))
    features = alive[order[:count]]
    # Rows in the units of the neurons: in training, activations may have been scaled.
    rows = (dictionary.W_dec.detach() / dictionary.scale_out)[features]
    own = logit_effects(model, rows, model.blocks[0].mlp.W_out).topk(TOP, -1).indices
    strongest = values[:, features].amax(0)
    tokens = study.texts.test[:ROWS].to(rows.device)
    base = _centred(model(tokens))
    on_own = torch.zeros(len(features), len(doses))
    on_others = torch.zeros(len(features), len(doses))
    for index in range(len(features)):
        for column, dose in enumerate(doses):
            step = dose * strongest[index] * rows[index]

            def steer_neurons(activation: Tensor, hook: Any, step: Tensor = step) -> Tensor:
                return activation + step

            with torch.no_grad():
                changed = _centred(model.run_with_hooks(tokens, fwd_hooks=[(HOOK, steer_neurons)])) - base
            change = changed.mean((0, 1))
            on_own[index, column] = change[own[index]].mean()
            other_tokens = torch.cat([own[:index], own[index + 1 :]]).unique()
            other_tokens = other_tokens[~torch.isin(other_tokens, own[index])]
            on_others[index, column] = change[other_tokens].mean() if len(other_tokens) else 0.0
    return Steering(tuple(features.tolist()), tuple(doses), on_own, on_others)


def _centred(logits: Tensor) -> Tensor:
    logits = logits.detach()
    return logits - logits.mean(-1, keepdim=True)
