"""The checks of unit R. Those of files and of the report are in writing_checks.py."""

# Loops over cases run at least once.
# pyright: reportPossiblyUnboundVariable=false

from __future__ import annotations

import torch
from torch import Tensor

from mechscope.course.trial import Trial
from mechscope.course.units.research import reference
from mechscope.course.units.research.writing_checks import (
    check_log_prediction,
    check_replication_report,
    check_settle_prediction,
)

__all__ = [
    "check_brier_skill",
    "check_calibration_curve",
    "check_log_prediction",
    "check_overconfidence_over_time",
    "check_red_team",
    "check_replication_report",
    "check_separating_edits",
    "check_settle_prediction",
    "check_sides_with",
    "check_weigh",
]


def _predictions(trial: Trial, n: int) -> tuple[Tensor, Tensor]:
    """Probabilities of somebody who is too sure, and what happened."""
    said = trial.uniform(n)
    return said, trial.uniform(n) < 0.25 + 0.5 * said


def check_brier_skill(trial: Trial) -> None:
    for _ in range(2):
        trial.compare(*_predictions(trial, trial.number(20, 40)), names=("the Brier score", "the skill"))
    said, happened = torch.tensor([1.0, 0.0, 1.0]), torch.tensor([True, False, True])
    for words, given in (("is always right", said), ("says the share each time", torch.full((3,), 2 / 3))):
        names = (f"the Brier score of somebody who {words}", f"the skill of somebody who {words}")
        trial.compare(given, happened, names=names)


def check_calibration_curve(trial: Trial) -> None:
    for _ in range(2):
        n, bins = trial.number(40, 60), trial.number(5, 8)
        said, happened = _predictions(trial, n)
        # One bin stays empty, and somebody was certain.
        empty = trial.number(1, bins - 1)
        said = torch.where((said * bins).long() == empty, said - 1 / bins, said)
        said[:2] = torch.tensor([1.0, 0.0])
        happened[:2] = torch.tensor([True, True])
        trial.compare(said, happened, bins, names=("what was said", "the shares that happened", "the counts"))


def check_overconfidence_over_time(trial: Trial) -> None:
    for _ in range(2):
        said, happened = _predictions(trial, trial.number(20, 30))
        trial.compare(said, happened, trial.number(4, 8), what="the overconfidence")


def check_sides_with(trial: Trial) -> None:
    for _ in range(2):
        n = trial.number(40, 60)
        hypothesis, rival = trial.whole(-1, 5, n), trial.whole(-1, 5, n)
        source = trial.whole(0, 3, n)
        other = trial.whole(0, 5, n)
        model = torch.where(source == 0, hypothesis, torch.where(source == 1, rival, other)).clamp(min=0)
        trial.compare(model, hypothesis, rival, names=("siding with the hypothesis", "siding with the rival"))


def check_separating_edits(trial: Trial) -> None:
    for _ in range(3):
        d_vocab, size = trial.number(5, 8), trial.number(7, 10)
        prompt = trial.whole(0, d_vocab, size)
        # The last token occurs exactly once before, so that an edit can silence the hypothesis.
        prompt = torch.where(prompt == prompt[-1], (prompt + 1) % d_vocab, prompt)
        prompt[-1] = (prompt[0] + 1) % d_vocab
        prompt = torch.where(prompt == prompt[-1], prompt[0], prompt)
        prompt[-1] = (prompt[0] + 1) % d_vocab
        prompt[trial.number(1, size - 2)] = prompt[-1]
        text = trial.whole(0, d_vocab, 6, 9)
        for rival in (reference.bigram(text, d_vocab), reference.copying):
            trial.compare(prompt, reference.induction, rival, d_vocab, what="the edits")


def check_weigh(trial: Trial) -> None:
    n, seed = trial.number(40, 60), trial.number(0, 1000)
    low, high = trial.uniform(30, low=0, high=0.3), trial.uniform(30, low=0.3, high=1)
    strong, weak = (trial.uniform(n) < 0.9).float(), (trial.uniform(n) < 0.25).float()
    middle = torch.cat([torch.ones(n // 2 + 2), torch.zeros(n - n // 2 - 2)])
    for values, null, words in (
        (strong, low, "the evidence for a strong claim"),
        (strong, torch.cat([low, torch.ones(3)]), "the evidence where some draws of the null are as good"),
        (strong, strong.mean().repeat(1), "the evidence with one draw that is just as high"),
        (strong, torch.zeros(0), "the evidence without any null"),
        (weak, low - 1, "the evidence for a weak claim"),
        (middle, low, "the evidence around the bound"),
        (middle, high, "the evidence around the bound, with a better null"),
    ):
        trial.compare(values, null, 0.5, seed, what=words)


def _prompts(trial: Trial, n: int, d_vocab: int) -> Tensor:
    """Prompts in most of which the last token has occurred before."""
    tokens = trial.whole(0, d_vocab, n, trial.number(8, 10))
    where = trial.whole(0, tokens.shape[1] - 2, n)
    repeated = tokens[torch.arange(n), where]
    tokens[:, -1] = torch.where(trial.uniform(n) < 0.8, repeated, tokens[:, -1])
    return tokens


def _null(trial: Trial, prompts: Tensor, d_vocab: int) -> list[reference.Program]:
    """Programs that know only the last token, one that has learnt the prompts by heart, and one that knows half."""

    def one(table: Tensor) -> reference.Program:
        return lambda tokens: table[tokens[:, -1]]

    def by_heart(tokens: Tensor) -> Tensor:
        return torch.where(_among(tokens, prompts), reference.induction(tokens), d_vocab)

    def other_half(tokens: Tensor) -> Tensor:
        return torch.where(tokens[:, 0] % 2 == 1, reference.induction(tokens), d_vocab)

    return [by_heart, other_half, *(one(trial.whole(0, d_vocab, d_vocab)) for _ in range(38))]


def _among(tokens: Tensor, prompts: Tensor) -> Tensor:
    """Which rows of `tokens` are rows of `prompts`."""
    return (tokens[:, None] == prompts).all(-1).any(1)


def _one_half(tokens: Tensor) -> Tensor:
    """Induction where the first token is even, and something else where it is odd."""
    return torch.where(tokens[:, 0] % 2 == 0, reference.induction(tokens), tokens[:, 0])


def check_red_team(trial: Trial) -> None:
    d_vocab, n = trial.number(8, 11), 100
    prompts = _prompts(trial, n, d_vocab)
    edited = prompts.clone()
    edited[torch.arange(n), trial.whole(0, prompts.shape[1] - 1, n)] = trial.whole(0, d_vocab, n)
    text, null = _prompts(trial, 40, d_vocab), _null(trial, prompts, d_vocab)

    both = torch.cat([prompts, edited])
    spoken = both[reference.induction(both) >= 0]
    # One prompt in nine is an error of the model; a close rival shares these and has a few more of its own.
    errors, others = spoken[::9], spoken[1::9]
    others = torch.cat([others, spoken[2::27]])

    def model(tokens: Tensor) -> Tensor:
        """Induction, except for some prompts and where there is nothing to induce."""
        says = reference.induction(tokens)
        return torch.where(_among(tokens, errors) | (says < 0), d_vocab + 1, says)

    def close(tokens: Tensor) -> Tensor:
        says = torch.where(_among(tokens, others), d_vocab, reference.induction(tokens))
        return torch.where(_among(tokens, errors), d_vocab + 1, says)

    rivals = {
        "skip-trigram": reference.skip_trigram(text, d_vocab),
        "one half": _one_half,
        "close": close,
        "itself": reference.induction,
    }
    seed = trial.number(0, 1000)
    rungs = trial.compare(
        model, reference.induction, rivals, prompts, edited, null, seed, what="the evidence"
    )
    trial.require(
        [rung["verdict"] for rung in rungs] == ["supports"] * 4 + ["inconclusive", "not run"],
        "the model was made to do induction with a few errors, and the verdicts do not show it.",
    )
    wrong = trial.call(
        model, reference.copying, {"induction": reference.induction}, prompts, edited, null, seed
    )
    trial.require(
        all(rung["verdict"] == "undermines" for rung in wrong),
        "the model was made to do induction, but the evidence does not undermine copying.",
    )
