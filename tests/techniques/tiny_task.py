"""Small tasks on random tokens, for techniques that must be right on any model."""

from __future__ import annotations

import torch

from mechscope.tasks.metrics import METRICS, Answers
from mechscope.tasks.task import Task


def tiny_task(
    batch: int = 3,
    length: int = 6,
    seed: int = 0,
    metric: str = "logit_difference",
    d_vocab: int = 30,
    n_answers: int = 1,
    aligned: bool = True,
) -> Task:
    """Random prompts that differ from position 1 on, answers due at the end (or anywhere, if not aligned)."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int, high: int = d_vocab) -> torch.Tensor:
        return torch.randint(0, high, shape, generator=generator)

    clean, corrupted = draw(batch, length), draw(batch, length)
    corrupted[:, 0] = clean[:, 0]
    where = (
        torch.full((batch, n_answers), length - 1) if aligned else draw(batch, n_answers, high=length - 1) + 1
    )
    # Right and wrong tokens differ, so that the metric is not always zero.
    correct = draw(batch, n_answers, 1, high=d_vocab // 2)
    wrong = draw(batch, n_answers, 2, high=d_vocab // 2) + d_vocab // 2
    middle = torch.full((batch,), 2) if aligned else draw(batch, high=length)
    return Task(
        name="tiny",
        clean=clean,
        corrupted=corrupted,
        answers=Answers(where, correct, wrong),
        metric=METRICS[metric],
        positions={"middle": middle, "end": where[:, 0]},
        seed=seed,
    )
