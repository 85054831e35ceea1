"""Red-team the two hypotheses of the lab: which heads carry induction, and which rule the model follows."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from mechscope.data.copying import Induction
from mechscope.labs.induction.hand_wired import hand_wired_induction, solvable_blocks
from mechscope.labs.induction.measures import Analysis
from mechscope.labs.induction.training import TrainedModel
from mechscope.model.transformer import HookedTransformer
from mechscope.tasks.repeated_tokens import repeated_random_tokens
from mechscope.tasks.task import Task
from mechscope.techniques.redteam import Behaviour, Evidence, Heads, redteam

EXAMPLES = 32
"""Pairs of prompts, enough for confidence intervals."""


def attack(trained: TrainedModel, analysis: Analysis, seed: int) -> dict[str, Evidence]:
    """Evidence by hypothesis: "heads" (one head of each kind carries induction), "rule" (the model follows the rule).

    The heads are only the best previous-token head and the best induction head: if the hypothesis named every head that
    does a little of either, no other heads would be left to compare with.
    """
    model = trained.model
    names = [f"a0.h{int(analysis.previous[0].argmax())}", f"a1.h{int(analysis.prefix[1].argmax())}"]
    heads = Heads(names, claim=f"{' and '.join(names)} carry induction")
    return {
        "heads": redteam(model, _task(model, seed), heads, seed=seed, progress=False),
        "rule": attack_rule(model, trained.like_training.cpu(), seed),
    }


def attack_rule(model: HookedTransformer, text: Int[Tensor, "batch pos"], seed: int) -> Evidence:
    """Evidence for the rule "what followed the current token last time", compared with baselines fitted to `text`."""
    # The weight does not change which token the rule predicts.
    rule = Induction(model.cfg.d_vocab, weight=0.9).fit(text)
    behaviour = Behaviour(
        rule.log_probabilities, claim="The model says what followed the current token last time"
    )
    return redteam(model, _task(model, seed), behaviour, training_tokens=text, seed=seed, progress=False)


def control(seed: int, half: int = 20, n_tokens: int = 44) -> Evidence:
    """The same test of the hand-wired model, which is known to use the current token only."""
    text = solvable_blocks(EXAMPLES, half, n_tokens, torch.Generator().manual_seed(seed))
    return attack_rule(hand_wired_induction(n_tokens, 2 * half + 1), text, seed)


def _task(model: HookedTransformer, seed: int) -> Task:
    return repeated_random_tokens(model, EXAMPLES, seed, bos=model.cfg.d_vocab - 1)
