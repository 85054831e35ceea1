"""A task's metric: one number per example, computed from the logits at the answer positions.

Every metric takes logits [batch answer d_vocab] at the answer positions and returns values [batch],
averaged over the answers of an example. Logits in bfloat16 or float16 are converted to float32 first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int

from mechscope.arguments import brief_repr, checked_arguments
from mechscope.model.precision import at_least_float32
from mechscope.model.token_ids import token_ids

Logits = Float[torch.Tensor, "batch answer d_vocab"]
MetricFunction = Callable[[Logits, "Answers", Logits | None], Float[torch.Tensor, " batch"]]


@dataclass(frozen=True)
class Answers:
    """The answer positions, and which tokens are right and wrong there.

    Several tokens may be right (every later year, in greater-than). If examples have different
    numbers of them, rows are padded with -1.
    """

    positions: Int[torch.Tensor, "batch answer"]
    """Positions whose logits should predict the answers."""
    correct: Int[torch.Tensor, "batch answer choice"]
    """Right tokens, padded with -1."""
    wrong: Int[torch.Tensor, "batch answer other"] | None = None
    """Wrong tokens to compare them with, padded with -1; None if the task has no particular wrong answers."""

    def __post_init__(self) -> None:
        for name in ("positions", "correct", "wrong"):
            if (given := getattr(self, name)) is not None:
                # From here on, all indices are int64.
                object.__setattr__(self, name, token_ids(given, f"{name} of answers", negative=True))
        if self.positions.ndim != 2:
            raise ValueError(f"answer positions must be [batch answer], not {tuple(self.positions.shape)}.")
        for name, tokens in (("correct", self.correct), ("wrong", self.wrong)):
            if tokens is None:
                continue
            if tokens.ndim != 3 or tokens.shape[:2] != self.positions.shape:
                raise ValueError(
                    f"{name} answers have shape {tuple(tokens.shape)}; with positions "
                    f"{tuple(self.positions.shape)} they must be [batch answer choice]."
                )
            if bool((tokens < 0).all(-1).any()):
                raise ValueError(f"an answer has no {name} token; every answer needs at least one.")

    @cached_property
    def highest(self) -> int:
        """The highest token id among the right and wrong answers."""
        return max(int(tokens.max()) for tokens in (self.correct, self.wrong) if tokens is not None)

    def select(self, examples: torch.Tensor | slice) -> Answers:
        """The answers of some examples."""
        wrong = None if self.wrong is None else self.wrong[examples]
        return Answers(self.positions[examples], self.correct[examples], wrong)

    __repr__ = brief_repr

    def to(self, device: torch.device | str) -> Answers:
        """The same answers on another device."""
        wrong = None if self.wrong is None else self.wrong.to(device)
        return Answers(self.positions.to(device), self.correct.to(device), wrong)


@dataclass(frozen=True)
class Metric:
    """A named function of an example's logits.

    Call it as `metric(logits, answers, reference)`; `METRICS` lists the built-in ones.
    """

    name: str
    """Readable name for titles: "logit difference"."""
    unit: str
    """logits, nats, probability or accuracy."""
    function: MetricFunction
    needs_wrong: bool = False
    """Whether it compares right answers with wrong ones."""
    needs_reference: bool = False
    """Whether it compares with the logits of the clean run."""
    reads_answers_only: bool = False
    """Whether it depends only on the logits of right and wrong tokens (no softmax over the rest)."""

    def __call__(self, logits: Logits, answers: Answers, reference: Logits | None = None) -> torch.Tensor:
        """One value per example [batch], unless it is a function of yours that returns another shape.

        Raises:
            ValueError: if wrong answers or a reference are missing, the shape does not fit, or an answer has no
                logit.
        """
        if self.needs_wrong and answers.wrong is None:
            raise ValueError(
                f"{self.name} compares right answers with wrong ones, but this task has no wrong ones."
            )
        if self.needs_reference and reference is None:
            raise ValueError(f"{self.name} compares with the clean run; give its logits as `reference`.")
        if logits.shape[:2] != answers.positions.shape:
            raise ValueError(
                f"logits have shape {tuple(logits.shape)} and answers {tuple(answers.positions.shape)}; expected "
                "logits [batch answer d_vocab] at the answer positions."
            )
        if answers.highest >= logits.shape[-1]:
            raise ValueError(
                f"an answer is token id {answers.highest}, but the logits cover only ids 0 to {logits.shape[-1] - 1}: "
                "the model cannot predict it (d_vocab_out)."
            )
        return self.function(
            at_least_float32(logits), answers, None if reference is None else at_least_float32(reference)
        )


def mean_logit(logits: Logits, tokens: Int[torch.Tensor, "batch answer choice"]) -> torch.Tensor:
    """The mean logit of a set of tokens [batch answer]."""
    logits, there = at_least_float32(logits), tokens >= 0
    chosen = logits.gather(-1, tokens.clamp(min=0).to(logits.device)) * there.to(logits)
    return chosen.sum(-1) / there.sum(-1).to(logits)


def log_probability_of(logits: Logits, tokens: Int[torch.Tensor, "batch answer choice"]) -> torch.Tensor:
    """The log of the tokens' summed probability [batch answer], in nats."""
    chosen = at_least_float32(logits).log_softmax(-1).gather(-1, tokens.clamp(min=0).to(logits.device))
    return chosen.masked_fill(tokens.to(logits.device) < 0, -torch.inf).logsumexp(-1)


def _wrong(answers: Answers) -> torch.Tensor:
    assert answers.wrong is not None
    return answers.wrong


def _logit_difference(logits: Logits, answers: Answers, reference: Logits | None) -> torch.Tensor:
    return (mean_logit(logits, answers.correct) - mean_logit(logits, _wrong(answers))).mean(-1)


def _logit(logits: Logits, answers: Answers, reference: Logits | None) -> torch.Tensor:
    return mean_logit(logits, answers.correct).mean(-1)


def _probability(logits: Logits, answers: Answers, reference: Logits | None) -> torch.Tensor:
    return log_probability_of(logits, answers.correct).exp().mean(-1)


def _probability_difference(logits: Logits, answers: Answers, reference: Logits | None) -> torch.Tensor:
    right = log_probability_of(logits, answers.correct).exp()
    return (right - log_probability_of(logits, _wrong(answers)).exp()).mean(-1)


def _log_probability(logits: Logits, answers: Answers, reference: Logits | None) -> torch.Tensor:
    return log_probability_of(logits, answers.correct).mean(-1)


def _accuracy(logits: Logits, answers: Answers, reference: Logits | None) -> torch.Tensor:
    best = logits.argmax(-1, keepdim=True)
    return (best == answers.correct.to(logits.device)).any(-1).to(logits).mean(-1)


def _preference(logits: Logits, answers: Answers, reference: Logits | None) -> torch.Tensor:
    right, wrong = mean_logit(logits, answers.correct), mean_logit(logits, _wrong(answers))
    return (right > wrong).to(logits).mean(-1)


def _kl_divergence(logits: Logits, answers: Answers, reference: Logits | None) -> torch.Tensor:
    assert reference is not None
    ours, theirs = logits.log_softmax(-1), reference.log_softmax(-1)
    return (theirs.exp() * (theirs - ours)).sum(-1).mean(-1)


METRICS: dict[str, Metric] = {
    "logit_difference": Metric(
        "logit difference", "logits", _logit_difference, needs_wrong=True, reads_answers_only=True
    ),
    "logit": Metric("logit of the answer", "logits", _logit, reads_answers_only=True),
    "probability": Metric("probability of the answer", "probability", _probability),
    "probability_difference": Metric(
        "probability difference", "probability", _probability_difference, needs_wrong=True
    ),
    "log_probability": Metric("log-probability of the answer", "nats", _log_probability),
    "accuracy": Metric("accuracy", "accuracy", _accuracy),
    "preference": Metric(
        "share of answers preferred", "accuracy", _preference, needs_wrong=True, reads_answers_only=True
    ),
    "kl_divergence": Metric("KL divergence from the clean run", "nats", _kl_divergence, needs_reference=True),
}
"""Every built-in metric by name."""


@checked_arguments
def get_metric(metric: str | Metric) -> Metric:
    """Look up a metric by name; a `Metric` is returned as it is.

    Raises:
        KeyError: for an unknown name; lists the known ones.
    """
    if isinstance(metric, Metric):
        return metric
    if metric not in METRICS:
        raise KeyError(
            f"unknown metric {metric!r}; choose from {', '.join(METRICS)}, or pass a Metric of your own."
        )
    return METRICS[metric]
