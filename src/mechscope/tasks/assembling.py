"""Build a task from pairs of token lists: padding, the beginning-of-sequence token, labels, checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from mechscope.arguments import is_whole_number
from mechscope.model.special_tokens import with_begin
from mechscope.tasks.metrics import Answers, Metric, get_metric
from mechscope.tasks.reader import Reader
from mechscope.tasks.task import Task


@dataclass(frozen=True)
class Pair:
    """One example: a clean prompt, its corrupted counterpart, and the answers after the last token."""

    clean: Sequence[int]
    corrupted: Sequence[int]
    correct: Sequence[int]
    """Right tokens."""
    wrong: Sequence[int] | None = None
    """Wrong tokens to compare them with."""
    positions: Mapping[str, int] = field(default_factory=dict)
    """Named positions; "end" is added."""
    template: int = 0
    """Which template it came from."""


def check_count(n: int) -> None:
    """Raise ValueError unless n is a positive number of examples."""
    if not is_whole_number(n, least=1):
        raise ValueError(f"n is the number of examples and must be at least 1, not {n!r}.")


def fill_up(rows: Sequence[Sequence[int]], filler: int) -> torch.Tensor:
    """Rows of different lengths as one tensor [row longest], padded on the right."""
    longest = max(len(row) for row in rows)
    return torch.tensor([[*row, *[filler] * (longest - len(row))] for row in rows], dtype=torch.long)


def assemble(
    name: str,
    pairs: Sequence[Pair],
    reader: Reader,
    *,
    metric: str | Metric,
    corruption: str,
    seed: int | None,
    prepend_bos: bool | None = None,
) -> Task:
    """The task made of these pairs, checked against the model if one was given.

    Args:
        prepend_bos: whether prompts start with the begin token; None follows the model (see `Reader.begin`). It is
            not added to a prompt that already starts with it.

    Raises:
        ValueError: for prompts longer than the model's context, or a missing BOS token.
    """
    begin = reader.begin(prepend_bos)
    clean = [with_begin(begin, list(pair.clean)) for pair in pairs]
    shifts = [len(row) - len(pair.clean) for row, pair in zip(clean, pairs, strict=True)]
    corrupted = [with_begin(begin, list(pair.corrupted)) for pair in pairs]
    for number, (ours, theirs) in enumerate(zip(clean, corrupted, strict=True)):
        if len(ours) != len(theirs):
            raise ValueError(
                f"pair {number}: only one of the prompts starts with the begin token, so they would not "
                "stay aligned. Write it in both prompts or in neither, or pass prepend_bos=False."
            )
    lengths = torch.tensor([len(row) for row in clean])
    end = lengths - 1
    wrong = None
    if all(pair.wrong is not None for pair in pairs):
        wrong = fill_up([pair.wrong or () for pair in pairs], -1)[:, None]
    longest = int(lengths.max())
    task = Task(
        name,
        fill_up(clean, reader.pad),
        fill_up(corrupted, reader.pad),
        Answers(end[:, None], fill_up([pair.correct for pair in pairs], -1)[:, None], wrong),
        metric=get_metric(metric),
        positions={
            **{
                key: torch.tensor(
                    [pair.positions[key] + shift for shift, pair in zip(shifts, pairs, strict=True)]
                )
                for key in pairs[0].positions
            },
            "end": end,
        },
        lengths=None if bool((lengths == longest).all()) else lengths,
        templates=torch.tensor([pair.template for pair in pairs]),
        labels=tuple((*reader.texts(row), *[""] * (longest - len(row))) for row in clean),
        corruption=corruption,
        seed=seed,
        left_out=tuple(reader.left_out),
    )
    if reader.model is not None:
        task.check(reader.model)
    return task
