"""Direct logit attribution of features: what each adds to the answer's logit by itself.

The residual stream at the answer is a sum of what was written to it; what a dictionary stands for is a part of that
sum, and is itself a sum: features times decoder rows, the decoder's bias and the error term. With the final norm's
scale held at what it was, the logit difference splits into one number for each, exactly. See
`direct_logit_attribution` for how that misleads: a feature that works through later layers scores zero.
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
from mechscope.results import Provenance
from mechscope.tasks.task import Task
from mechscope.techniques._inputs import as_prompts
from mechscope.techniques._logit_terms import LogitTerms
from mechscope.techniques.sweep.base_run import BaseRun

if TYPE_CHECKING:
    from mechscope.dictionaries.attach import Attached
    from mechscope.model.transformer import HookedTransformer


@dataclass(frozen=True)
class FeatureLogits:
    """The logit difference as a sum. Unit: logits."""

    effects: FeatureEffects
    """Features and error term; `whole` is what the error and all features add, also those that are not listed."""
    bias: float
    """What the dictionary writes whatever is active: b_dec, and a skip term where there is one."""
    total: float
    """The logit difference itself (before a soft cap, if there is one)."""

    @property
    def rest(self) -> float:
        """What all other parts of the model add."""
        return self.total - self.bias - self.effects.whole

    def __str__(self) -> str:
        return (
            f"{self.effects}\n  {'bias':<24}{self.bias:>10.4f}\n  {'rest of the model':<24}{self.rest:>10.4f}"
        )


@checked_arguments
def direct_feature_attribution(
    model: HookedTransformer,
    task: Task,
    attached: Attached,
    features: Sequence[int] | None = None,
) -> FeatureLogits:
    """Split what a dictionary's place adds to the logit difference (the answer's logit, where no wrong one is named).

    On the clean prompts, at the positions where answers are due, mean over both.

    Args:
        attached: what `with dictionary.attached(model, hook_name) as attached:` gives; call inside. It must write to
            the residual stream, to neurons or to heads.
        features: some features only; None: all that are active at an answer.

    Raises:
        KeyError: outside the dictionary's context.
        ValueError: for features that do not exist, a point that does not write straight to the residual stream, or a
            task that does not fit.
    """
    check_attached(model, attached)
    prompts = as_prompts(model, task)
    terms = LogitTerms(model, prompts)
    direction = terms.direction_at(attached.writes)
    if attached.head_out is not None:
        # Heads are concatenated there, with the width of the output.
        direction = direction.unflatten(-1, (-1, attached.dictionary.cfg.width_out))[
            ..., attached.head_out, :
        ]
    run = BaseRun(model, prompts.tokens, prompts.attention_mask)
    points = [attached.features, attached.output, f"{attached.reads}.hook_sae_input"]
    run.require([*points, attached.error] if attached.error_term else points)
    active = task.at_answers(run[attached.features])
    chosen = features_to_try(active != 0, features, attached.dictionary.cfg.d_sae)
    x = task.at_answers(run[f"{attached.reads}.hook_sae_input"])
    slopes = at_least_float32(pulled_back(attached.dictionary, active, x, direction))
    values = (at_least_float32(active) * slopes).mean((0, 1))

    def along(hook: str) -> Tensor:
        """What an activation adds, mean over examples and answers."""
        return (task.at_answers(run[hook]).flatten(2) * direction).sum(-1).mean()

    error = along(attached.error) if attached.error_term else torch.zeros(())
    whole = float(values.sum() + error)
    made = "logits", Provenance(prompts.provenance.model, task.name, task.seed)
    what = "logit difference" if task.answers.wrong is not None else "answer's logit"
    title = f"Direct effect of features at {attached.reads} on the {what}"
    effects = FeatureEffects(
        effects_result(values[list(chosen)], ("feature",), None, chosen, title, *made),
        effects_result(error, ("feature",), None, None, f"{title}, error term", *made)
        if attached.error_term
        else None,
        whole,
    )
    return FeatureLogits(effects, float(along(attached.output)) - whole, float(terms.total().mean()))
