"""Direct logit attribution of features: what each feature adds directly to the logit of the answer.

The residual stream at the answer is a sum of contributions. The activation that a dictionary reconstructs is part of
that sum, and is itself a sum: features times decoder rows, the decoder's bias and the error term. If the final norm's
scale is held fixed, the logit difference splits exactly into one number for each. See `direct_logit_attribution` for
how this misleads: a feature that works through later layers scores zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mechscope.arguments import checked_arguments
from mechscope.feature_effects.feature_effects import (
    FeatureEffects,
    check_attached,
    effects_result,
    features_to_try,
    pulled_back,
)
from mechscope.model.precision import at_least_float32
from mechscope.techniques._inputs import TaskOrTokens
from mechscope.techniques.direct_logit_attribution import LogitTerms
from mechscope.techniques.sweep.base_run import BaseRun

if TYPE_CHECKING:
    from mechscope.dictionaries.attach import Attached
    from mechscope.model.transformer import HookedTransformer


@dataclass(frozen=True)
class FeatureLogits:
    """The logit difference as a sum, in logits."""

    effects: FeatureEffects
    """Features and error term; `whole` is the contribution of the error and all features, listed or not."""
    bias: float
    """The contribution that does not depend on the features: b_dec, and a skip term if there is one."""
    total: float
    """The logit difference itself (before a soft cap, if there is one)."""

    @property
    def rest(self) -> float:
        """The contribution of all other parts of the model."""
        return self.total - self.bias - self.effects.whole

    def __str__(self) -> str:
        return (
            f"{self.effects}\n  {'bias':<24}{self.bias:>10.4f}\n  {'rest of the model':<24}{self.rest:>10.4f}"
        )


@checked_arguments
def direct_feature_attribution(
    model: HookedTransformer,
    task: TaskOrTokens,
    attached: Attached,
    features: Sequence[int] | None = None,
) -> FeatureLogits:
    """Split the direct contribution of a dictionary's site to the logit difference into features.

    Without wrong answers, this is the answer's logit. Values are means over clean prompts and answer positions.

    Args:
        task: a task; or text or tokens, for the logit of the token that the model itself predicts after each prompt.
        attached: from `with dictionary.attached(model, hook_name) as attached:`; call inside the block. It must write
            to the residual stream, to neurons or to heads.
        features: only these features; None for all that are active at an answer.

    Raises:
        KeyError: outside the dictionary's context.
        ValueError: for features that do not exist, a hook point that does not write directly to the residual stream,
            or a task that does not fit.
    """
    check_attached(model, attached)
    terms = LogitTerms(model, task)
    prompts = terms.prompts
    direction = terms.direction_at(attached.writes)
    if attached.head_out is not None:
        # Heads are concatenated there, each with the width of the output.
        direction = direction.unflatten(-1, (-1, attached.dictionary.cfg.width_out))[
            ..., attached.head_out, :
        ]
    run = BaseRun(model, prompts.tokens, prompts.attention_mask)
    points = [attached.features, attached.output, f"{attached.reads}.hook_sae_input"]
    run.require([*points, attached.error] if attached.error_term else points)
    active = terms.at_answers(run[attached.features])
    chosen = features_to_try(active != 0, features, attached.dictionary.cfg.d_sae)
    x = terms.at_answers(run[f"{attached.reads}.hook_sae_input"])
    slopes = at_least_float32(pulled_back(attached.dictionary, active, x, direction))
    values = (at_least_float32(active) * slopes).mean((0, 1))

    def along(hook: str) -> Tensor:
        """The contribution of an activation, mean over examples and answers."""
        return (terms.at_answers(run[hook]).flatten(2) * direction).sum(-1).mean()

    error = along(attached.error) if attached.error_term else torch.zeros(())
    whole = float(values.sum() + error)
    made = "logits", prompts.provenance
    title = f"Direct effect of features at {attached.reads} on the {terms.what}"
    effects = FeatureEffects(
        effects_result(values[list(chosen)], ("feature",), None, chosen, title, *made),
        effects_result(error, ("feature",), None, None, f"{title}, error term", *made)
        if attached.error_term
        else None,
        whole,
    )
    return FeatureLogits(effects, float(along(attached.output)) - whole, float(terms.total().mean()))
