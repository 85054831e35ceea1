"""What the model does on indirect objects, before anyone looks inside; and what simple rules would do there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechscope.data.baselines import fit_baselines
from mechscope.tasks.task import Task

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

RULES: dict[str, str] = {
    "first name": "the name that stands first",
    "second name": "the name that stands second",
    "last name": "the name that was said last",
    "not the last": "the other name than the one that was said last",
}
"""Rules that see where names stand, and nothing of who was named twice."""


@dataclass(frozen=True)
class Behaviour:
    """Means over prompts."""

    logit_difference: float
    """Logit of the indirect object minus that of the subject."""
    accuracy: float
    """Prompts on which the indirect object is the likelier of the two (%)."""
    first: float
    """Prompts on which it is the likeliest of all tokens (%)."""
    probability: float
    """Its probability (%)."""


def measure_behaviour(model: HookedTransformer, task: Task) -> Behaviour:
    """How well the model names the indirect object."""
    task.check(model)
    with torch.no_grad():
        return describe(task.logits(model, task.clean), task)


def describe(logits: Float[Tensor, "batch answer d_vocab"], task: Task) -> Behaviour:
    """The same from logits at the answer."""
    assert task.answers.wrong is not None
    at_end = logits[:, 0].cpu()
    io, s = task.answers.correct[:, 0], task.answers.wrong[:, 0]
    right, wrong = at_end.gather(1, io)[:, 0], at_end.gather(1, s)[:, 0]
    return Behaviour(
        float((right - wrong).mean()),
        100 * float((right > wrong).float().mean()),
        100 * float((at_end.argmax(-1) == io[:, 0]).float().mean()),
        100 * float(at_end.softmax(-1).gather(1, io).mean()),
    )


def rival_accuracies(task: Task, text: Int[Tensor, "row pos"], d_vocab: int) -> dict[str, float]:
    """Prompts on which each rival finds the indirect object the likelier of the two names (%).

    Ties count half. The first are the baselines of `mechscope.data.baselines`, fitted to `text`; the last are RULES.

    Args:
        task: prompts with one answer each.
        text: what the model was trained on, or more of its kind.
        d_vocab: size of the vocabulary.
    """
    assert task.answers.wrong is not None
    end = task.positions["end"][:, None]
    io, s = task.answers.correct[:, 0, 0], task.answers.wrong[:, 0, 0]
    found: dict[str, float] = {}
    for name, rival in fit_baselines(d_vocab, text).items():
        scores = rival.log_probabilities(task.clean)
        at_end = scores.gather(1, end[..., None].expand(-1, -1, d_vocab))[:, 0]
        found[name] = _percent(at_end.gather(1, io[:, None])[:, 0], at_end.gather(1, s[:, None])[:, 0])
    for name, rule in _rules(task).items():
        named = rule()
        found[name] = _percent((named == io).float(), (named == s).float())
    return found


def _rules(task: Task) -> dict[str, Callable[[], Tensor]]:
    rows = torch.arange(task.n_examples)
    places = torch.stack([task.positions[name] for name in ("IO", "S1", "S2")], 1).sort(1).values
    names = task.clean[rows[:, None], places]  # [batch mention], in the order in which they are said
    both = torch.stack([task.answers.correct[:, 0, 0], task.answers.wrong[:, 0, 0]], 1)  # type: ignore[index]
    last = names[:, 2]
    others = torch.where(both[:, 0] == last, both[:, 1], both[:, 0])
    return {
        "first name": lambda: names[:, 0],
        "second name": lambda: names[:, 1],
        "last name": lambda: last,
        "not the last": lambda: others,
    }


def _percent(right: Tensor, wrong: Tensor) -> float:
    return 100 * float(((right > wrong).float() + 0.5 * (right == wrong).float()).mean())
