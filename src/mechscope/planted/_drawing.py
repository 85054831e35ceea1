"""Draw inputs of a program, and pairs of inputs for a task."""

from __future__ import annotations

import random
from itertools import islice
from typing import TYPE_CHECKING

import torch

from mechscope.planted._evaluating import evaluate
from mechscope.planted.program import Program
from mechscope.tasks.metrics import Answers, Metric, get_metric
from mechscope.tasks.task import Task

if TYPE_CHECKING:
    from mechscope.planted.planted_model import PlantedModel

PATIENCE = 200
"""How often to draw per pair before giving up."""


def draw_inputs(program: Program, n: int, seed: int = 0) -> list[tuple[str, ...]]:
    """`n` random inputs (with repetition).

    Raises:
        ValueError: for n below 1.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, not {n}.")
    rng = random.Random(seed)
    return [tuple(program.draw(rng)) for _ in range(n)]


def all_inputs(program: Program, most: int) -> list[tuple[str, ...]] | None:
    """Every input, or None if they cannot be enumerated or there are more than `most`."""
    if program.every is None:
        return None
    rows = list(islice(program.every(), most + 1))
    return None if len(rows) > most else rows


def draw_task(
    planted: PlantedModel,
    n: int,
    seed: int = 0,
    metric: str | Metric = "logit_difference",
    at: int | None = None,
) -> Task:
    """Clean inputs, each paired with another whose answer differs at the chosen position.

    Raises:
        ValueError: if no pairs with different answers are found.
    """
    measure = get_metric(metric)
    if n < 1:
        raise ValueError(f"n must be at least 1, not {n}.")
    if at is not None and not 0 <= at <= planted.program.length:
        raise ValueError(
            f"at={at} is not a position of {planted.name}; positions are 0 (BOS) to {planted.program.length}."
        )
    rng = random.Random(seed)
    program = planted.program
    clean, corrupted, where = [], [], []
    right, wrong = [], []
    for _ in range(n):
        for _ in range(PATIENCE):
            pair = tuple(program.draw(rng)), tuple(program.draw(rng))
            answers = evaluate(program, pair[0]), evaluate(program, pair[1])
            differ = [
                pos
                for pos, (one, other) in enumerate(zip(*answers, strict=True))
                if one is not None and other is not None and one != other and at in (None, pos)
            ]
            if differ:
                break
        else:
            where = "" if at is None else f" at position {at}"
            raise ValueError(
                f"{planted.name}: no two inputs with different answers{where} in {PATIENCE} draws; "
                "does the program have an answer there?"
            )
        pos = rng.choice(differ)
        clean.append(pair[0])
        corrupted.append(pair[1])
        where.append(pos)
        right.append(planted.vocabulary.index(str(answers[0][pos])))
        wrong.append(planted.vocabulary.index(str(answers[1][pos])))
    positions = torch.tensor(where)
    return Task(
        name=f"planted {planted.name}",
        clean=planted.encode(clean),
        corrupted=planted.encode(corrupted),
        answers=Answers(
            positions[:, None], torch.tensor(right)[:, None, None], torch.tensor(wrong)[:, None, None]
        ),
        metric=measure,
        positions={"answer": positions},
        labels=tuple((planted.vocabulary[0], *row) for row in clean),
        corruption="another random input, whose answer differs at the chosen position",
        seed=seed,
    )
