"""Randomly edited prompts: one token replaced, two tokens exchanged, or a span rotated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Int

from mechscope.tasks.task import Task


@dataclass(frozen=True)
class Edited:
    """Several edited versions of every prompt, one round of all prompts after another."""

    task: Task
    """The task's examples, repeated for each round, for their positions and lengths."""
    tokens: Int[torch.Tensor, "batch pos"]
    words: tuple[str, ...]
    """A description of each edit."""


def repeated(task: Task, rounds: int) -> Task:
    """Repeat all examples of a task, one round after another."""
    return task.select(torch.arange(task.n_examples).repeat(rounds))


def swaps(task: Task, rounds: int, generator: torch.Generator, shown: Callable[[int], str] = str) -> Edited:
    """Replace one token of each prompt, at or before the last answer position.

    If prompts are aligned and several tokens occur at that position, the new token is one of those; otherwise it is
    any token of the task's prompts. `shown` gives a token's text for descriptions.
    """
    rows = repeated(task, rounds)
    tokens = rows.clean.cpu().clone()
    last = task.answers.positions.amax(1).cpu().repeat(rounds)
    pool = torch.cat([task.clean, task.corrupted]).cpu()
    real = torch.cat([task.real_tokens, task.real_tokens]).cpu()
    columns = [column[there].unique() for column, there in zip(pool.unbind(1), real.unbind(1), strict=True)]
    everything = pool[real].unique()
    # A token that never varies is part of the format, like BOS: replacing it gives another kind of prompt.
    free = torch.tensor([len(column) > 1 for column in columns])
    words: list[str] = []
    for row in range(len(tokens)):
        places = free[: int(last[row]) + 1].nonzero()[:, 0]
        at = int(places[int(torch.randint(len(places), (1,), generator=generator))]) if len(places) else 0
        choices = columns[at] if task.aligned and len(columns[at]) > 2 else everything
        choices = choices[choices != tokens[row, at]]
        new = int(choices[int(torch.randint(len(choices), (1,), generator=generator))])
        words.append(f"position {at}: {shown(int(tokens[row, at]))} becomes {shown(new)}")
        tokens[row, at] = new
    return Edited(rows, tokens, tuple(words))


def reorderings(task: Task, rounds: int, generator: torch.Generator) -> Edited:
    """Exchange two tokens before the last answer, or rotate a span of three to six by one, alternately.

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
            words.append(f"positions {first} to {first + length - 1} rotated by one")
    return Edited(rows, tokens, tuple(words))
