"""What the model, the hypothesis and each rival answer to prompts, the same cells [batch answer] for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from jaxtyping import Int

from mechscope.data.copying import Copying, Induction, RepeatLast
from mechscope.data.ngrams import Bigram, NGram, Unigram
from mechscope.data.rival import Rival
from mechscope.data.rivals import make_rivals
from mechscope.data.skip_trigrams import SkipTrigram
from mechscope.tasks.task import Task
from mechscope.techniques.redteam.hypotheses import Behaviour

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

Cells = Int[torch.Tensor, "batch answer"]
Respond = Callable[[Task, Int[torch.Tensor, "batch pos"]], Cells]
"""From a task's rows (whose positions and lengths hold) and prompts in their place to answers, -1 for none."""

SIMPLICITY = ("unigram", "bigram", "repeat the last token", "copying", "trigram", "skip-trigram", "induction")
"""Rivals from the simplest on."""
WINDOW = 17
CELLS = 20_000_000
"""Numbers that a rival's answer may take at a time."""
FOLDS = 4


def model_answers(model: HookedTransformer, behaviour: Behaviour, batch: int = 256) -> Respond:
    """The model's most likely token, among those that count."""

    def respond(task: Task, tokens: torch.Tensor) -> torch.Tensor:
        found: list[torch.Tensor] = []
        with torch.no_grad():
            for start in range(0, len(tokens), batch):
                rows = torch.arange(start, min(start + batch, len(tokens)))
                device = model.W_E.device
                logits = task.select(rows).logits(model, tokens[rows].to(device))
                if bool(torch.isnan(logits).any()):
                    raise ValueError("the model's logits have NaN in them.")
                found.append(behaviour.best(logits).cpu())
        return torch.cat(found)

    return respond


def rival_answers(rival: Rival, behaviour: Behaviour, d_vocab_out: int) -> Respond:
    """A fitted rival's most likely token, among those that count."""

    def respond(task: Task, tokens: torch.Tensor) -> torch.Tensor:
        step = max(1, CELLS // (tokens.shape[1] * rival.d_vocab))
        found: list[torch.Tensor] = []
        for start in range(0, len(tokens), step):
            scores = rival.log_probabilities(tokens[start : start + step])[..., :d_vocab_out]
            where = task.answers.positions[start : start + step].cpu()
            found.append(behaviour.best(scores[torch.arange(len(where))[:, None], where]))
        return torch.cat(found)

    return respond


def fit_rivals_to_text(
    model: HookedTransformer, behaviour: Behaviour, tokens: Int[torch.Tensor, "row pos"]
) -> dict[str, Respond]:
    """Every rival fitted to text, by name, the simplest first."""
    rivals = make_rivals(_vocabulary(model))
    return {
        name: rival_answers(rivals[name].fit(tokens), behaviour, model.cfg.d_vocab_out) for name in SIMPLICITY
    }


def fit_rivals_to_prompts(model: HookedTransformer, behaviour: Behaviour, task: Task) -> dict[str, Respond]:
    """Every rival fitted to the task's own prompts and right answers, each example's by the other three quarters.

    Tables learn from what stands before an answer and the answer; copiers have nothing to learn.
    """
    fold = torch.arange(task.n_examples) % min(FOLDS, task.n_examples)
    by_fold = [
        {
            name: rival_answers(rival, behaviour, model.cfg.d_vocab_out)
            for name, rival in _fit_tables(model, task, (fold != number).nonzero()[:, 0]).items()
        }
        for number in range(int(fold.max()) + 1)
    ]

    def respond(name: str) -> Respond:
        def by_row(rows_of: Task, tokens: torch.Tensor) -> torch.Tensor:
            # Prompts come as whole rounds of the task's examples.
            mine = fold.repeat(len(tokens) // task.n_examples)
            found = torch.full(tuple(rows_of.answers.positions.shape), -1)
            for number, rivals in enumerate(by_fold):
                rows = (mine == number).nonzero()[:, 0]
                if name in rivals and len(rows):
                    found[rows] = rivals[name](rows_of.select(rows), tokens[rows])
            return found

        return by_row

    return {name: respond(name) for name in SIMPLICITY if name in by_fold[0]}


def _fit_tables(model: HookedTransformer, task: Task, rows: torch.Tensor) -> dict[str, Rival]:
    n = _vocabulary(model)
    where = task.answers.positions[rows].cpu()
    answer = task.answers.correct[rows].cpu()[..., 0].flatten()
    prompts = task.clean[rows].cpu().repeat_interleave(where.shape[1], 0)
    width = min(int(where.min()) + 1, WINDOW)
    back = where.flatten()[:, None] - torch.arange(width - 1, -1, -1)
    window = torch.cat([prompts.gather(1, back), answer[:, None]], 1)
    answers_only = answer[:, None].expand(-1, 2)
    rivals: list[Rival] = [
        Unigram(n).fit(answers_only),
        Bigram(n).fit(window[:, -2:]),
        RepeatLast(n, weight=0.9).fit(answers_only),
        Copying(n, weight=0.9).fit(answers_only),
        Induction(n, weight=0.9).fit(answers_only),
    ]
    if width >= 2:
        rivals += [NGram(n, 3).fit(window[:, -3:]), SkipTrigram(n).fit(window)]
    return {rival.name: rival for rival in rivals}


def _vocabulary(model: HookedTransformer) -> int:
    return max(model.cfg.d_vocab, model.cfg.d_vocab_out)
