"""Mistakes in attacking a hypothesis."""

# Known mistakes have the parameters of the function that they are mistaken for.
# pyright: reportMissingParameterType=false

from __future__ import annotations

import torch

from mechscope.course.trial import Mistake
from mechscope.course.units.research import reference

# Rivals and edits


def _sided(model_says, hypothesis_says, rival_says, where):
    said = model_says[where]
    return (said == hypothesis_says[where]).float(), (said == rival_says[where]).float()


def _every_prompt(model_says, hypothesis_says, rival_says):
    return _sided(model_says, hypothesis_says, rival_says, slice(None))


def _silence_counts(model_says, hypothesis_says, rival_says):
    return _sided(model_says, hypothesis_says, rival_says, hypothesis_says != rival_says)


def _always_one_of_them(model_says, hypothesis_says, rival_says):
    with_hypothesis, _ = reference.sides_with(model_says, hypothesis_says, rival_says)
    return with_hypothesis, 1 - with_hypothesis


def _where_they_agree(model_says, hypothesis_says, rival_says):
    where = (hypothesis_says == rival_says) & (hypothesis_says >= 0)
    return _sided(model_says, hypothesis_says, rival_says, where)


def _rival_first(model_says, hypothesis_says, rival_says):
    return reference.sides_with(model_says, rival_says, hypothesis_says)


def _edits(prompt, hypothesis, rival, d_vocab, *, rival_same=True, speaks=True, adds_up=False, last=True):
    kept, current = [], prompt.clone()
    for position in range(len(prompt) - (not last)):
        for token in range(d_vocab):
            edited = current if adds_up else prompt.clone()
            edited[position] = token
            after = int(hypothesis(edited[None]))
            if after == int(hypothesis(prompt[None])) or (speaks and after < 0):
                continue
            if rival_same and int(rival(edited[None])) != int(rival(prompt[None])):
                continue
            kept.append((position, token))
    return torch.tensor(kept, dtype=torch.long).view(-1, 2)


def _rival_ignored(prompt, hypothesis, rival, d_vocab):
    return _edits(prompt, hypothesis, rival, d_vocab, rival_same=False)


def _silenced(prompt, hypothesis, rival, d_vocab):
    return _edits(prompt, hypothesis, rival, d_vocab, speaks=False)


def _edits_add_up(prompt, hypothesis, rival, d_vocab):
    return _edits(prompt, hypothesis, rival, d_vocab, adds_up=True)


def _roles_exchanged(prompt, hypothesis, rival, d_vocab):
    return reference.separating_edits(prompt, rival, hypothesis, d_vocab)


def _columns_exchanged(prompt, hypothesis, rival, d_vocab):
    return reference.separating_edits(prompt, hypothesis, rival, d_vocab).flip(1)


# The weight of evidence


def _weighed(values, null, bound, seed, *, quantiles=(0.025, 0.975), one_more=1, strict=False, verdict=None):
    found = reference.weigh(values, null, bound, seed)
    n = len(values)
    means = values[torch.randint(n, (1000, n), generator=torch.Generator().manual_seed(seed))].mean(-1)
    low, high = (float(means.quantile(share)) for share in quantiles)
    as_high = (null > found["measured"]) if strict else (null >= found["measured"])
    p = float(one_more + as_high.sum()) / (one_more + len(null)) if one_more + len(null) else 1.0
    said = "undermines" if high < bound else "supports" if low > bound and p <= 0.05 else "inconclusive"
    answer = {"measured": found["measured"], "low": low, "high": high, "p": p, "verdict": said}
    return answer | ({"verdict": verdict(answer, bound)} if verdict else {})


def _ninety_percent(values, null, bound, seed):
    return _weighed(values, null, bound, seed, quantiles=(0.05, 0.95))


def _not_one_more(values, null, bound, seed):
    return _weighed(values, null, bound, seed, one_more=0)


def _strictly_higher(values, null, bound, seed):
    return _weighed(values, null, bound, seed, strict=True)


def _null_ignored(values, null, bound, seed):
    return _weighed(
        values,
        null,
        bound,
        seed,
        verdict=lambda answer, bound: (
            "undermines"
            if answer["high"] < bound
            else "supports"
            if answer["low"] > bound
            else "inconclusive"
        ),
    )


def _never_inconclusive(values, null, bound, seed):
    return _weighed(
        values,
        null,
        bound,
        seed,
        verdict=lambda answer, bound: (
            "supports" if answer["low"] > bound and answer["p"] <= 0.05 else "undermines"
        ),
    )


def _spread_of_values(values, null, bound, seed):
    found = _weighed(values, null, bound, seed)
    return found | {
        "low": float(values.quantile(0.025)),
        "high": float(values.quantile(0.975)),
    }


# The harness


def _attacked(
    model, hypothesis, rivals, prompts, edited, null, seed, *, silent=False, own_null=True, both=True, bound=0.5,
    null_agrees=False, not_run=True,
):  # fmt: skip
    rungs = []
    everything = torch.cat([prompts, edited]) if both else prompts
    for name, tokens in (("prompts", prompts), ("edited prompts", edited)):
        says = hypothesis(tokens)
        speaks = torch.ones_like(says, dtype=torch.bool) if silent else says >= 0
        at = tokens if own_null else prompts
        there = speaks if own_null else hypothesis(prompts) >= 0
        known = says if own_null else hypothesis(prompts)
        shares = [(program(at) == known)[there].float().mean() for program in null]
        agrees = (model(tokens) == says)[speaks].float()
        rungs.append(
            {"name": f"agrees on {name}", **reference.weigh(agrees, torch.tensor(shares), 0.75, seed)}
        )
    for name, rival in rivals.items():
        says, rival_says = hypothesis(everything), rival(everything)
        wins, _ = reference.sides_with(model(everything), says, rival_says)
        if len(wins) == 0:
            if not_run:
                rungs.append({"name": f"against {name}", "verdict": "not run"})
            continue
        shares = [
            (program(everything) == says)[says >= 0].float().mean()
            if null_agrees
            else reference.sides_with(program(everything), says, rival_says)[0].mean()
            for program in null
        ]
        rungs.append({"name": f"against {name}", **reference.weigh(wins, torch.tensor(shares), bound, seed)})
    return rungs


def _silence_agrees(model, hypothesis, rivals, prompts, edited, null, seed):
    return _attacked(model, hypothesis, rivals, prompts, edited, null, seed, silent=True)


def _null_of_prompts(model, hypothesis, rivals, prompts, edited, null, seed):
    return _attacked(model, hypothesis, rivals, prompts, edited, null, seed, own_null=False)


def _no_edits_for_rivals(model, hypothesis, rivals, prompts, edited, null, seed):
    return _attacked(model, hypothesis, rivals, prompts, edited, null, seed, both=False)


def _null_agrees(model, hypothesis, rivals, prompts, edited, null, seed):
    return _attacked(model, hypothesis, rivals, prompts, edited, null, seed, null_agrees=True)


def _one_bound(model, hypothesis, rivals, prompts, edited, null, seed):
    return _attacked(model, hypothesis, rivals, prompts, edited, null, seed, bound=0.75)


def _not_run_left_out(model, hypothesis, rivals, prompts, edited, null, seed):
    return _attacked(model, hypothesis, rivals, prompts, edited, null, seed, not_run=False)


MISTAKES = {
    "sides_with": (
        Mistake(
            _every_prompt,
            "You counted every prompt. Where both say the same, the model cannot tell between them.",
        ),
        Mistake(_silence_counts, "-1 is no prediction: leave out prompts on which one of them says nothing."),
        Mistake(
            _always_one_of_them, "If the model does not side with the hypothesis, it may side with neither."
        ),
        Mistake(_where_they_agree, "These are the prompts on which both agree."),
        Mistake(_rival_first, "The two answers are exchanged: the hypothesis comes first."),
    ),
    "separating_edits": (
        Mistake(_rival_ignored, "An edit that changes what the rival says, too, does not tell them apart."),
        Mistake(
            _silenced,
            "After some of these edits the hypothesis says nothing (-1), so nothing can be tested.",
        ),
        Mistake(_edits_add_up, "Your edits add up: start each from the original prompt (clone it)."),
        Mistake(
            _roles_exchanged, "The roles are exchanged: the hypothesis has to change, and the rival must not."
        ),
        Mistake(_columns_exchanged, "Each row is (position, token), not (token, position)."),
    ),
    "weigh": (
        Mistake(_ninety_percent, "This is an interval of 90 %. For 95 %, cut off 0.025 at each end."),
        Mistake(_not_one_more, "The claim counts as one more draw, above and below the line: p is never 0."),
        Mistake(_strictly_higher, "At least as high: a draw that equals the measurement counts against you."),
        Mistake(
            _null_ignored,
            "The verdict ignores the null. Above the bound is not enough if random draws are there, too.",
        ),
        Mistake(
            _never_inconclusive,
            "Evidence that does not support a claim need not undermine it. If the interval contains the bound, more "
            "examples would decide.",
        ),
        Mistake(
            _spread_of_values,
            "This is how far the examples are apart. How far would the *mean* move with other examples?",
        ),
    ),
    "red_team": (
        Mistake(
            _silence_agrees,
            "Prompts on which the hypothesis says nothing were counted as disagreement. Leave them out.",
        ),
        Mistake(
            _null_of_prompts,
            "For the edited prompts, the null has to be measured on the edited prompts, too.",
        ),
        Mistake(
            _no_edits_for_rivals,
            "Rivals are tried on the prompts and the edited ones together. Edits are where rivals come apart.",
        ),
        Mistake(
            _null_agrees,
            "Against a rival, the null is how often a random program sides with the hypothesis on the same prompts.",
        ),
        Mistake(_one_bound, "Against a rival the bound is 0.5: who wins more often? 0.75 is for agreement."),
        Mistake(
            _not_run_left_out,
            "A rival that was never tried is missing from the evidence. Say that it was not run: it still could win.",
        ),
    ),
}
"""Exercise → its known mistakes."""
