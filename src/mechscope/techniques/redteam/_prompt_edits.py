"""Edited prompts: one token swapped, two exchanged, a stretch moved; drawn at random, in whole rounds of the task."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Int

from mechscope.tasks.task import Task


@dataclass(frozen=True)
class Edited:
    """`rounds` edited versions of every prompt, round after round."""

    task: Task
    """The task's examples repeated as often, so that positions and lengths hold."""
    tokens: Int[torch.Tensor, "batch pos"]
    words: tuple[str, ...]
    """What was done to each."""


def repeated(task: Task, rounds: int) -> Task:
    """Every example of a task `rounds` times, round after round."""
    return task.select(torch.arange(task.n_examples).repeat(rounds))


def swaps(task: Task, rounds: int, generator: torch.Generator) -> Edited:
    """One token of each prompt, up to the last answer, becomes another.

    The other token is one that stands at the same position in some prompt of the task, where there is another
    and the prompts are aligned; else any token of the task's prompts.
    """
    rows = repeated(task, rounds)
    tokens = rows.clean.cpu().clone()
    last = task.answers.positions.amax(1).cpu().repeat(rounds)
    pool = torch.cat([task.clean, task.corrupted]).cpu()
    real = torch.cat([task.real_tokens, task.real_tokens]).cpu()
    columns = [column[there].unique() for column, there in zip(pool.unbind(1), real.unbind(1), strict=True)]
    everything = pool[real].unique()
    # A token that never varies is part of the frame (a BOS): other tokens there are no prompts of this kind.
    free = torch.tensor([len(column) > 1 for column in columns])
    words: list[str] = []
    for row in range(len(tokens)):
        places = free[: int(last[row]) + 1].nonzero()[:, 0]
        at = int(places[int(torch.randint(len(places), (1,), generator=generator))]) if len(places) else 0
        choices = columns[at] if task.aligned and len(columns[at]) > 2 else everything
        choices = choices[choices != tokens[row, at]]
        new = int(choices[int(torch.randint(len(choices), (1,), generator=generator))])
        words.append(f"position {at}: {int(tokens[row, at])} becomes {new}")
        tokens[row, at] = new
    return Edited(rows, tokens, tuple(words))


def reorderings(task: Task, rounds: int, generator: torch.Generator) -> Edited:
    """Two tokens before the last answer change places, or a stretch of three to six turns by one, in turns.

    A first token that is the same in all prompts stays first.
    """
    rows = repeated(task, rounds)
    tokens = rows.clean.cpu().clone()
    start = int(len(task.clean[:, 0].unique()) == 1)
    words: list[str] = []
    for row in range(len(tokens)):
        end = int(rows.answers.positions[row].max()) + 1
        if end - start < 2:
            words.append("nothing")
            continue
        if row % 2 == 0 or end - start < 3:
            one, two = (start + torch.randperm(end - start, generator=generator)[:2]).tolist()
            tokens[row, [one, two]] = tokens[row, [two, one]]
            words.append(f"positions {one} and {two} exchanged")
        else:
            length = int(torch.randint(3, min(6, end - start) + 1, (1,), generator=generator))
            first = start + int(torch.randint(end - start - length + 1, (1,), generator=generator))
            tokens[row, first : first + length] = tokens[row, first : first + length].roll(1)
            words.append(f"positions {first} to {first + length - 1} turned by one")
    return Edited(rows, tokens, tuple(words))
