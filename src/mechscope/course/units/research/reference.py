"""The solutions of unit R."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Program = Callable[[Int[Tensor, "batch pos"]], Int[Tensor, " batch"]]
"""A hypothesis as a program: from prompts to the token that comes next in each, -1 where it says nothing."""


# Five programs to begin with. They are written already.


def induction(tokens: Int[Tensor, "batch pos"]) -> Int[Tensor, " batch"]:
    """What followed the last earlier occurrence of the last token; -1 if it has not occurred before."""
    says = torch.full((len(tokens),), -1)
    for earlier in range(tokens.shape[1] - 1):
        says = torch.where(tokens[:, earlier] == tokens[:, -1], tokens[:, earlier + 1], says)
    return says


def first_occurrence(tokens: Int[Tensor, "batch pos"]) -> Int[Tensor, " batch"]:
    """What followed the first earlier occurrence of the last token; -1 if it has not occurred before."""
    says = torch.full((len(tokens),), -1)
    for earlier in reversed(range(tokens.shape[1] - 1)):
        says = torch.where(tokens[:, earlier] == tokens[:, -1], tokens[:, earlier + 1], says)
    return says


def copying(tokens: Int[Tensor, "batch pos"]) -> Int[Tensor, " batch"]:
    """The token that occurs most often in the prompt; of several, the smallest."""
    counts = torch.nn.functional.one_hot(tokens).sum(1)
    return counts.argmax(-1)


def bigram(text: Int[Tensor, "row pos"], d_vocab: int) -> Program:
    """A program that says what most often follows the last token in `text`."""
    counts = torch.zeros(d_vocab, d_vocab)
    counts.index_put_((text[:, :-1], text[:, 1:]), torch.ones(()), accumulate=True)
    return lambda tokens: counts[tokens[:, -1]].argmax(-1)


def skip_trigram(text: Int[Tensor, "row pos"], d_vocab: int) -> Program:
    """A program that says what most often follows the last token in `text` if the prompt's tokens came earlier."""
    counts = torch.zeros(d_vocab, d_vocab, d_vocab)
    for position in range(1, text.shape[1] - 1):
        for earlier in range(position):
            where = (text[:, earlier], text[:, position], text[:, position + 1])
            counts.index_put_(where, torch.ones(()), accumulate=True)
    return lambda tokens: counts[tokens[:, :-1], tokens[:, -1:]].sum(1).argmax(-1)


# Predict before you run


def brier_skill(
    said: Float[Tensor, " prediction"], happened: Bool[Tensor, " prediction"]
) -> tuple[float, float]:
    """How good predictions were: their Brier score, and their skill.

    said[i] is the probability that you gave to something, and happened[i] whether it came true. The Brier score is the
    mean squared distance between the probability and what happened (1 or 0): 0 is perfect. The skill compares it with
    somebody who always says the share of things that came true: 1 - score / that person's score. 1 is perfect, and 0
    means that you knew nothing beyond the share.
    """
    truth = happened.float()
    score = (said - truth).square().mean()
    base = (truth.mean() - truth).square().mean()
    return float(score), float(1 - score / base)


def calibration_curve(
    said: Float[Tensor, " prediction"], happened: Bool[Tensor, " prediction"], bins: int
) -> tuple[Float[Tensor, " bin"], Float[Tensor, " bin"], Int[Tensor, " bin"]]:
    """Of all things to which you gave about 70 %, did about 70 % happen?

    Bin number k holds the predictions with k / bins <= said < (k + 1) / bins; 1.0 belongs to the last bin. For each bin
    that holds any, from low to high: the mean of what you said, the share that happened, and how many there are.
    """
    number = (said * bins).long().clamp(max=bins - 1)
    means, shares, counts = [], [], []
    for k in range(bins):
        here = number == k
        if here.any():
            means.append(said[here].mean())
            shares.append(happened[here].float().mean())
            counts.append(here.sum())
    return torch.stack(means), torch.stack(shares), torch.stack(counts)


def overconfidence_over_time(
    said: Float[Tensor, " prediction"], happened: Bool[Tensor, " prediction"], window: int
) -> Float[Tensor, " end"]:
    """Whether you learn: how much too sure you were, in every run of `window` predictions in a row.

    Your answer to a yes-no question is yes if said is at least 0.5, and your confidence is the probability of your
    answer: said for yes, 1 - said for no. Overconfidence is the mean confidence minus the share of right answers. The
    first value is about predictions 0 to window - 1, the next about 1 to window, and so on.
    """
    confidence = torch.where(said >= 0.5, said, 1 - said)
    right = ((said >= 0.5) == happened).float()
    return (confidence - right).unfold(0, window, 1).mean(-1)


def log_prediction(path: Path, claim: str, probability: float, settled_by: str) -> Float[Tensor, " open"]:
    """Write a prediction down before you run anything, and return the probabilities of all that are still open, in
    order.

    The log is a text file with one JSON object per line. A prediction is a line with "kind": "prediction", its
    "number" (0, 1, 2, … over the predictions), "claim", "probability" and "settled_by": the experiment that decides. An
    outcome is a line with "kind": "outcome", the prediction's "number" and "happened". A prediction without an outcome
    is open. If there is no file yet, create it. Only ever add lines at the end: what is written stays.

    Raise a ValueError, and write nothing, for a probability that is not above 0 and below 1 (you would never learn from
    it), and for an empty settled_by (nothing could prove you wrong).
    """
    if not 0 < probability < 1:
        raise ValueError(f"a probability is above 0 and below 1, not {probability}.")
    if not settled_by.strip():
        raise ValueError("say which experiment settles the claim.")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    entries = [json.loads(line) for line in lines]
    entry = {
        "kind": "prediction",
        "number": sum(entry["kind"] == "prediction" for entry in entries),
        "claim": claim,
        "probability": probability,
        "settled_by": settled_by,
    }
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")
    settled = {entry["number"] for entry in entries if entry["kind"] == "outcome"}
    return torch.tensor(
        [
            entry["probability"]
            for entry in [*entries, entry]
            if entry["kind"] == "prediction" and entry["number"] not in settled
        ]
    )


def settle_prediction(
    path: Path, number: int, happened: bool
) -> tuple[Float[Tensor, " settled"], Bool[Tensor, " settled"]]:
    """Add the outcome of a prediction to the log (see log_prediction), and return everything that is settled: the
    probabilities, and what happened, in the order of the predictions' numbers.

    Raise a ValueError, and write nothing, if there is no prediction with this number, or if it is settled already: an
    outcome is not changed afterwards.
    """
    entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    said = {entry["number"]: entry["probability"] for entry in entries if entry["kind"] == "prediction"}
    outcomes = {entry["number"]: entry["happened"] for entry in entries if entry["kind"] == "outcome"}
    if number not in said:
        raise ValueError(f"there is no prediction {number}.")
    if number in outcomes:
        raise ValueError(f"prediction {number} is settled already.")
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"kind": "outcome", "number": number, "happened": happened}) + "\n")
    outcomes[number] = happened
    numbers = sorted(outcomes)
    return torch.tensor([said[each] for each in numbers]), torch.tensor([outcomes[each] for each in numbers])


# Try to prove yourself wrong


def sides_with(
    model_says: Int[Tensor, " batch"],
    hypothesis_says: Int[Tensor, " batch"],
    rival_says: Int[Tensor, " batch"],
) -> tuple[Float[Tensor, " disagreement"], Float[Tensor, " disagreement"]]:
    """Where a hypothesis and a rival disagree, with whom does the model side?

    Only prompts count on which both say something (not -1) and say different things. For each of these, in order: 1 if
    the model says what the hypothesis says, otherwise 0; and the same for the rival. The model may side with neither.
    """
    differ = (hypothesis_says != rival_says) & (hypothesis_says >= 0) & (rival_says >= 0)
    said = model_says[differ]
    return (said == hypothesis_says[differ]).float(), (said == rival_says[differ]).float()


def separating_edits(
    prompt: Int[Tensor, " pos"], hypothesis: Program, rival: Program, d_vocab: int
) -> Int[Tensor, "edit position_and_token"]:
    """Every change of one token after which the hypothesis says something else, and the rival the same as before.

    Each row is (position, new token); sort the rows by position, then by token. An edit counts only if the hypothesis
    still says something afterwards (not -1). Each edit starts from the prompt as it was. A Program takes many prompts
    at once, [batch, pos].
    """
    edits = [
        (position, token)
        for position in range(len(prompt))
        for token in range(d_vocab)
        if token != int(prompt[position])
    ]
    edited = prompt.repeat(len(edits), 1)
    for row, (position, token) in enumerate(edits):
        edited[row, position] = token
    before, after = hypothesis(prompt[None]), hypothesis(edited)
    kept = (after != before) & (after >= 0) & (rival(edited) == rival(prompt[None]))
    return torch.tensor(edits)[kept]


def weigh(
    values: Float[Tensor, " example"], null: Float[Tensor, " draw"], bound: float, seed: int
) -> dict[str, Any]:
    """What a measurement says about a claim: the mean of its values, an interval, a p-value, and a verdict.

    - "measured": the mean over the examples.
    - "low" and "high": draw 1,000 sets of as many examples, in which an example can occur more than once:
      torch.randint(n, (1000, n), generator=torch.Generator().manual_seed(seed)). The 0.025 and 0.975 quantiles of the
      sets' means are the ends of the interval. (This is a bootstrap.)
    - "p": the share of the null's draws that are at least as high, counting the claim as one more draw; so it is 1 if
      there are no draws.
    - "verdict": "undermines" if the whole interval is below the bound. "supports" if the whole interval is above the
      bound and p is at most 0.05. Otherwise "inconclusive".
    """
    n, generator = len(values), torch.Generator().manual_seed(seed)
    means = values[torch.randint(n, (1000, n), generator=generator)].mean(-1)
    low, high = (float(means.quantile(share)) for share in (0.025, 0.975))
    measured = float(values.mean())
    p = float((1 + (null >= measured).sum()) / (1 + len(null)))
    verdict = "undermines" if high < bound else "supports" if low > bound and p <= 0.05 else "inconclusive"
    return {"measured": measured, "low": low, "high": high, "p": p, "verdict": verdict}


def red_team(
    model: Program,
    hypothesis: Program,
    rivals: Mapping[str, Program],
    prompts: Int[Tensor, "batch pos"],
    edited: Int[Tensor, "batch pos"],
    null: Sequence[Program],
    seed: int,
) -> list[dict[str, Any]]:
    """Attack a hypothesis in every way that you know, and return the evidence, one rung after the other.

    Each rung is what `weigh` returns, with one more key "name". In this order:

    1. "agrees on prompts": 1 where the model says what the hypothesis says, 0 where it does not. Only prompts count on
       which the hypothesis says something. The null is the same share for each program of `null`, such as models whose
       circuit was replaced by a random one; the bound is 0.75.
    2. "agrees on edited prompts": the same on `edited`, and with the null measured on `edited`.
    3. "against NAME" for each rival, in order: how often the model sides with the hypothesis, where the two differ on
       the prompts or on the edited ones (sides_with; the edited ones last). The null is how often each program of
       `null` does so on the same prompts; the bound is 0.5. If the two never differ, the rung is only {"name": "against
       NAME", "verdict": "not run"}.
    """
    rungs: list[dict[str, Any]] = []
    both = torch.cat([prompts, edited])
    for name, tokens in (("prompts", prompts), ("edited prompts", edited)):
        says = hypothesis(tokens)
        speaks = says >= 0
        agrees = (model(tokens) == says)[speaks].float()
        shares = [(program(tokens) == says)[speaks].float().mean() for program in null]
        rungs.append({"name": f"agrees on {name}", **weigh(agrees, torch.tensor(shares), 0.75, seed)})
    for name, rival in rivals.items():
        says, rival_says = hypothesis(both), rival(both)
        wins, _ = sides_with(model(both), says, rival_says)
        if len(wins) == 0:
            rungs.append({"name": f"against {name}", "verdict": "not run"})
            continue
        shares = [sides_with(program(both), says, rival_says)[0].mean() for program in null]
        rungs.append({"name": f"against {name}", **weigh(wins, torch.tensor(shares), 0.5, seed)})
    return rungs


# Say what you found


QUESTIONS = (
    "What is the evidence?",
    "What is specific to this model?",
    "What is cherry-picked?",
    "What are the limits?",
    "What confuses me?",
)
"""The standing questions, to papers as to your own work."""


def replication_report(claims: Sequence[Mapping[str, Any]], answers: Mapping[str, str]) -> tuple[str, float]:
    """A report in Markdown, and the share of claims that were reproduced.

    A claim is a dictionary: "claim" (a sentence), "published" (what the paper says), "low" and "high" (the range that
    counts as reproduced, ends included), "measured" (a dictionary from seed to number), "figure" (a file), "attack"
    (how you tried to prove it wrong) and "result" (what came of that). A claim is reproduced if the number of every
    seed is in the range.

    Raise a ValueError that names the claim if it has fewer than 3 seeds, or if figure, attack or result is missing or
    empty; and one that names the question if one of QUESTIONS has no answer. A report leaves nothing out, and least of
    all what failed. It has, on lines of their own and in the order given:

    - first "R of N claims reproduced."
    - for each claim a line "## CLAIM"; then "Published: …", one line "Seed SEED: NUMBER" for each seed, with the number
      as f"{number:.4g}", "Verdict: reproduced" or "Verdict: not reproduced", "Figure: …", "Tried to prove it wrong: …"
      and "Result: …"
    - for each question a line "## QUESTION", and the answer on the next.
    """
    for claim in claims:
        if len(claim["measured"]) < 3:
            raise ValueError(f"{claim['claim']!r} has fewer than 3 seeds.")
        for part in ("figure", "attack", "result"):
            if not str(claim.get(part, "")).strip():
                raise ValueError(f"{claim['claim']!r} has no {part}.")
    for question in QUESTIONS:
        if not answers.get(question, "").strip():
            raise ValueError(f"the question {question!r} has no answer.")
    held = [
        all(claim["low"] <= value <= claim["high"] for value in claim["measured"].values())
        for claim in claims
    ]
    lines = [f"{sum(held)} of {len(claims)} claims reproduced."]
    for claim, reproduced in zip(claims, held, strict=True):
        lines += ["", f"## {claim['claim']}", "", f"Published: {claim['published']}"]
        lines += [f"Seed {seed}: {value:.4g}" for seed, value in claim["measured"].items()]
        lines += [
            f"Verdict: {'reproduced' if reproduced else 'not reproduced'}",
            f"Figure: {claim['figure']}",
            f"Tried to prove it wrong: {claim['attack']}",
            f"Result: {claim['result']}",
        ]
    for question in QUESTIONS:
        lines += ["", f"## {question}", answers[question]]
    return "\n".join(lines) + "\n", sum(held) / len(claims)
