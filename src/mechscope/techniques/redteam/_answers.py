"""The answers of the model and of each baseline to prompts [batch answer]."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from jaxtyping import Int

from mechscope.data.baseline import Baseline
from mechscope.data.baselines import make_baselines
from mechscope.data.copying import Copying, Induction, RepeatLast
from mechscope.data.ngrams import Bigram, NGram, Unigram
from mechscope.data.skip_trigrams import SkipTrigram
from mechscope.tasks.task import Task
from mechscope.techniques.redteam.hypotheses import Behaviour

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

Cells = Int[torch.Tensor, "batch answer"]
Respond = Callable[[Task, Int[torch.Tensor, "batch pos"]], Cells]
"""Takes a task (for positions and lengths) and prompts to use instead of its own, and returns answers, -1 for none."""

SIMPLICITY = ("unigram", "bigram", "repeat the last token", "copying", "trigram", "skip-trigram", "induction")
"""Baselines, the simplest first."""
WINDOW = 17
CELLS = 20_000_000
"""How many numbers a baseline may hold in memory at a time."""
FOLDS = 4


def model_answers(model: HookedTransformer, behaviour: Behaviour, batch: int = 256) -> Respond:
    """Answer with the model's most likely token, among those that count."""

    def respond(task: Task, tokens: torch.Tensor) -> torch.Tensor:
        found: list[torch.Tensor] = []
        with torch.no_grad():
            for start in range(0, len(tokens), batch):
                rows = torch.arange(start, min(start + batch, len(tokens)))
                device = model.W_E.device
                logits = task.select(rows).logits(model, tokens[rows].to(device))
                if bool(torch.isnan(logits).any()):
                    raise ValueError("the model's logits contain NaN.")
                found.append(behaviour.best(logits).cpu())
        return torch.cat(found)

    return respond


def baseline_answers(baseline: Baseline, behaviour: Behaviour, d_vocab_out: int) -> Respond:
    """Answer with a fitted baseline's most likely token, among those that count."""

    def respond(task: Task, tokens: torch.Tensor) -> torch.Tensor:
        step = max(1, CELLS // (tokens.shape[1] * baseline.d_vocab))
        found: list[torch.Tensor] = []
        for start in range(0, len(tokens), step):
            scores = baseline.log_probabilities(tokens[start : start + step])[..., :d_vocab_out]
            where = task.answers.positions[start : start + step].cpu()
            found.append(behaviour.best(scores[torch.arange(len(where))[:, None], where]))
        return torch.cat(found)

    return respond


def fit_baselines_to_text(
    model: HookedTransformer, behaviour: Behaviour, tokens: Int[torch.Tensor, "row pos"]
) -> dict[str, Respond]:
    """Fit every baseline to text; by name, the simplest first."""
    baselines = make_baselines(_vocabulary(model))
    return {
        name: baseline_answers(baselines[name].fit(tokens), behaviour, model.cfg.d_vocab_out)
        for name in SIMPLICITY
    }


def fit_baselines_to_prompts(
    model: HookedTransformer, behaviour: Behaviour, task: Task
) -> dict[str, Respond]:
    """Fit every baseline to the task's own prompts and right answers, by four-fold cross-validation.

    Counting baselines learn from the tokens before each answer and the answer; copying baselines have nothing to learn.
    """
    fold = torch.arange(task.n_examples) % min(FOLDS, task.n_examples)
    by_fold = [
        {
            name: baseline_answers(baseline, behaviour, model.cfg.d_vocab_out)
            for name, baseline in _fit_tables(model, task, (fold != number).nonzero()[:, 0]).items()
        }
        for number in range(int(fold.max()) + 1)
    ]

    def respond(name: str) -> Respond:
        def by_row(rows_of: Task, tokens: torch.Tensor) -> torch.Tensor:
            # Prompts repeat the task's examples a whole number of times, in order.
            mine = fold.repeat(len(tokens) // task.n_examples)
            found = torch.full(tuple(rows_of.answers.positions.shape), -1)
            for number, baselines in enumerate(by_fold):
                rows = (mine == number).nonzero()[:, 0]
                if name in baselines and len(rows):
                    found[rows] = baselines[name](rows_of.select(rows), tokens[rows])
            return found

        return by_row

    return {name: respond(name) for name in SIMPLICITY if name in by_fold[0]}


def _fit_tables(model: HookedTransformer, task: Task, rows: torch.Tensor) -> dict[str, Baseline]:
    n = _vocabulary(model)
    where = task.answers.positions[rows].cpu()
    answer = task.answers.correct[rows].cpu()[..., 0].flatten()
    prompts = task.clean[rows].cpu().repeat_interleave(where.shape[1], 0)
    width = min(int(where.min()) + 1, WINDOW)
    back = where.flatten()[:, None] - torch.arange(width - 1, -1, -1)
    window = torch.cat([prompts.gather(1, back), answer[:, None]], 1)
    answers_only = answer[:, None].expand(-1, 2)
    baselines: list[Baseline] = [
        Unigram(n).fit(answers_only),
        Bigram(n).fit(window[:, -2:]),
        RepeatLast(n, weight=0.9).fit(answers_only),
        Copying(n, weight=0.9).fit(answers_only),
        Induction(n, weight=0.9).fit(answers_only),
    ]
    if width >= 2:
        baselines += [NGram(n, 3).fit(window[:, -3:]), SkipTrigram(n).fit(window)]
    return {baseline.name: baseline for baseline in baselines}


def _vocabulary(model: HookedTransformer) -> int:
    return max(model.cfg.d_vocab, model.cfg.d_vocab_out)
