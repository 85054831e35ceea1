"""Mistakes in scoring predictions."""

# Known mistakes have the parameters of the function that they are mistaken for.
# pyright: reportMissingParameterType=false

from __future__ import annotations

import torch

from mechscope.course.trial import Mistake


def _scored(said, happened, *, error=torch.square, base=None, turned=False):
    truth = happened.float()
    score = error(said - truth).mean()
    known = truth.mean() if base is None else torch.tensor(base)
    share = score / error(known - truth).mean()
    return float(score), float(share if turned else 1 - share)


def _absolute(said, happened):
    return _scored(said, happened, error=torch.abs)


def _absolute_score(said, happened):
    return float((said - happened.float()).abs().mean()), _scored(said, happened)[1]


def _against_half(said, happened):
    return _scored(said, happened, base=0.5)


def _not_turned(said, happened):
    return _scored(said, happened, turned=True)


def _summed(said, happened):
    score, skill = _scored(said, happened)
    return score * len(said), skill


def _of_answers(said, happened):
    score, skill = _scored((said >= 0.5).float(), happened)
    return score, skill


def _curve(said, happened, bins, *, centres=False, certain=True, empty=False, right=False):
    number = (said * bins).long()
    if certain:
        number = number.clamp(max=bins - 1)
    hits = (said >= 0.5) == happened if right else happened
    rows = []
    for k in range(bins):
        here = number == k
        if not here.any():
            if empty:
                rows.append((torch.tensor(0.0), torch.tensor(0.0), torch.tensor(0)))
            continue
        mean = torch.tensor((k + 0.5) / bins) if centres else said[here].mean()
        rows.append((mean, hits[here].float().mean(), here.sum()))
    return tuple(torch.stack(column) for column in zip(*rows, strict=True))


def _centres(said, happened, bins):
    return _curve(said, happened, bins, centres=True)


def _certain_left_out(said, happened, bins):
    return _curve(said, happened, bins, certain=False)


def _empty_bins_kept(said, happened, bins):
    return _curve(said, happened, bins, empty=True)


def _right_answers(said, happened, bins):
    return _curve(said, happened, bins, right=True)


def _windows(values, window, step=1):
    return values.unfold(0, window, step).mean(-1)


def _gap(said, happened):
    right = ((said >= 0.5) == happened).float()
    return torch.maximum(said, 1 - said) - right


def _said_itself(said, happened, window):
    return _windows(said - happened.float(), window)


def _turned(said, happened, window):
    return -_windows(_gap(said, happened), window)


def _blocks(said, happened, window):
    return _windows(_gap(said, happened), window, window)


def _so_far(said, happened, window):
    values = _gap(said, happened)
    counts = torch.arange(1, len(values) + 1)
    return (values.cumsum(0) / counts)[window - 1 :]


def _size_only(said, happened, window):
    return _windows(_gap(said, happened), window).abs()


NOT_SQUARED = (
    "This takes the distance itself, not its square: it would pay you to say 0 or 1 whatever you believe."
)

MISTAKES = {
    "brier_skill": (
        Mistake(_absolute, NOT_SQUARED),
        Mistake(_absolute_score, NOT_SQUARED),
        Mistake(
            _against_half,
            "You compared with somebody who always says 50 %. That is easy to beat if most come true.",
        ),
        Mistake(_not_turned, "The skill is 1 minus this ratio, so that 1 is perfect."),
        Mistake(_summed, "This is the sum over the predictions, not their mean."),
        Mistake(_of_answers, "You rounded the probabilities to yes and no, and lost how sure they were."),
    ),
    "calibration_curve": (
        Mistake(
            _centres, "This is the middle of each bin. The mean of what was really said in it is asked for."
        ),
        Mistake(_certain_left_out, "Predictions of 1.0 are missing; they belong to the last bin."),
        Mistake(_empty_bins_kept, "Leave out bins without predictions: 0 of 0 is not 0 %."),
        Mistake(
            _right_answers,
            "This is the share of right answers. A thing to which you gave 20 % should happen in 20 % of cases.",
        ),
    ),
    "overconfidence_over_time": (
        Mistake(
            _said_itself,
            "A 10 % for something that did not happen is 90 % confidence in no: use 1 - said there.",
        ),
        Mistake(_turned, "The sign is turned: confidence minus share of right answers."),
        Mistake(_blocks, "Your windows do not overlap. Each begins one prediction after the one before."),
        Mistake(
            _so_far,
            "This averages everything so far. The window moves along, so that old mistakes are forgotten.",
        ),
        Mistake(_size_only, "Keep the sign: below 0 you were not sure enough."),
    ),
}
"""Exercise → its known mistakes."""
