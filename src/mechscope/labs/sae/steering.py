"""Steering: add a feature's decoder row to the neurons, and see whose logits move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.dictionaries.evaluation import logit_effects
from mechscope.labs.sae.language import HOOK
from mechscope.labs.sae.text_study import TextStudy

TOP = 5
"""Tokens that a feature promotes most, by the direct path: its own."""
ROWS = 16
"""Held-out sequences that are steered."""


@dataclass(frozen=True)
class Steering:
    """What each dose of each feature did."""

    features: tuple[int, ...]
    """Which features."""
    doses: tuple[float, ...]
    """In units of the feature's largest activation."""
    own: Float[Tensor, "feature coefficient"]
    """Mean change of its own top logits (less the mean over all logits)."""
    others: Float[Tensor, "feature coefficient"]
    """Mean change of the other features' top logits."""

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
        """Own change over the others' (absolute) change, at the largest dose, both averaged over features."""
        return float(self.own[:, -1].mean() / self.others[:, -1].abs().mean())


def steer(study: TextStudy, count: int, doses: Sequence[float], seed: int) -> Steering:
    """Steer with features drawn at random among those that live on the held-out text."""
    model, dictionary = study.model, study.chosen
    with torch.no_grad():
        values = dictionary.encode(study.test).flatten(0, 1)
    alive = (values > 0).any(0).nonzero().flatten().cpu()
    order = torch.randperm(len(alive), generator=torch.Generator().manual_seed(seed))
    features = alive[order[:count]]
    # In the units of the neurons, whatever activations were scaled to in training.
    rows = (dictionary.W_dec.detach() / dictionary.scale_out)[features]
    own = logit_effects(model, rows, model.blocks[0].mlp.W_out).topk(TOP, -1).indices
    strongest = values[:, features].amax(0)
    tokens = study.texts.test[:ROWS].to(rows.device)
    base = _centred(model(tokens))
    mine = torch.zeros(len(features), len(doses))
    others = torch.zeros(len(features), len(doses))
    for index in range(len(features)):
        for place, dose in enumerate(doses):
            step = dose * strongest[index] * rows[index]

            def push(activation: Tensor, hook: Any, step: Tensor = step) -> Tensor:
                return activation + step

            with torch.no_grad():
                changed = _centred(model.run_with_hooks(tokens, fwd_hooks=[(HOOK, push)])) - base
            moved = changed.mean((0, 1))
            mine[index, place] = moved[own[index]].mean()
            elsewhere = torch.cat([own[:index], own[index + 1 :]]).unique()
            elsewhere = elsewhere[~torch.isin(elsewhere, own[index])]
            others[index, place] = moved[elsewhere].mean() if len(elsewhere) else 0.0
    return Steering(tuple(features.tolist()), tuple(doses), mine, others)


def _centred(logits: Tensor) -> Tensor:
    logits = logits.detach()
    return logits - logits.mean(-1, keepdim=True)
