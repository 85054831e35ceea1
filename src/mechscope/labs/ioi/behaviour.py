"""How well the model, baselines and simple rules name the indirect object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechscope.data.baselines import fit_baselines
from mechscope.tasks.task import Task

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer


@dataclass(frozen=True)
class Behaviour:
    """Means over prompts."""

    logit_difference: float
    """Logit of the indirect object minus that of the subject."""
    accuracy: float
    """Prompts on which the indirect object is likelier than the subject (%)."""
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
    """The same from the logits at the answer position."""
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


def baseline_accuracies(task: Task, text: Int[Tensor, "row pos"], d_vocab: int) -> dict[str, float]:
    """Prompts on which each baseline and rule prefers the indirect object to the subject (%). Ties count half.

    The baselines count n-grams in `text` or copy from the prompt (`mechscope.data.baselines`). The rules see only
    the order of the names.

    Args:
        task: prompts with one answer each.
        text: text like that which the model was trained on.
        d_vocab: size of the vocabulary.
    """
    assert task.answers.wrong is not None
    end = task.positions["end"][:, None]
    io, s = task.answers.correct[:, 0, 0], task.answers.wrong[:, 0, 0]
    found: dict[str, float] = {}
    for name, baseline in fit_baselines(d_vocab, text).items():
        scores = baseline.log_probabilities(task.clean)
        at_end = scores.gather(1, end[..., None].expand(-1, -1, d_vocab))[:, 0]
        found[name] = _percent(at_end.gather(1, io[:, None])[:, 0], at_end.gather(1, s[:, None])[:, 0])
    for name, named in _rules(task).items():
        found[name] = _percent((named == io).float(), (named == s).float())
    return found


def _rules(task: Task) -> dict[str, Int[Tensor, " batch"]]:
    """Rules that know the order of the names, but not which one occurs twice: rule → the name that it predicts."""
    rows = torch.arange(task.n_examples)
    positions = torch.stack([task.positions[name] for name in ("IO", "S1", "S2")], 1).sort(1).values
    names = task.clean[rows[:, None], positions]  # [batch mention], in the order of the prompt
    io, s = task.answers.correct[:, 0, 0], task.answers.wrong[:, 0, 0]  # type: ignore[index]
    last = names[:, 2]
    return {
        "first name": names[:, 0],
        "second name": names[:, 1],
        "last name": last,
        "not the last": torch.where(io == last, s, io),
    }


def _percent(right: Tensor, wrong: Tensor) -> float:
    return 100 * float(((right > wrong).float() + 0.5 * (right == wrong).float()).mean())
