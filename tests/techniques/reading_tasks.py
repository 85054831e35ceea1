"""Small tasks for the reading techniques' tests."""

from __future__ import annotations

import torch

from mechscope.tasks.metrics import Answers
from mechscope.tasks.task import Task
from tests.model.tiny import tiny_tokens


def tiny_task(
    batch: int = 3,
    length: int = 9,
    seed: int = 0,
    n_answers: int = 1,
    n_choices: int = 2,
    wrong: bool = True,
    d_vocab: int = 30,
) -> Task:
    """Random prompts with random answers at the last positions; one of two right tokens is sometimes missing."""
    generator = torch.Generator().manual_seed(seed + 100)
    positions = torch.arange(length - n_answers, length).expand(batch, -1)
    correct = torch.randint(0, d_vocab, (batch, n_answers, n_choices), generator=generator)
    if n_choices > 1:
        correct[0, :, -1] = -1
    others = torch.randint(0, d_vocab, (batch, n_answers, 1), generator=generator)
    return Task(
        "tiny task",
        clean=tiny_tokens(batch, length, seed, d_vocab),
        corrupted=tiny_tokens(batch, length, seed + 1, d_vocab),
        answers=Answers(positions, correct, others if wrong else None),
        seed=seed,
    )
