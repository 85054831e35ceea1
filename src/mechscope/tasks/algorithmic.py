"""Algorithmic tasks on plain tokens, for models with a small vocabulary and no tokenizer.

The number k is token k; the separator and the class tokens come after the numbers.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import torch

from mechscope.arguments import checked_arguments
from mechscope.tasks.assembling import check_count
from mechscope.tasks.metrics import Answers, Metric, get_metric
from mechscope.tasks.task import Task


@checked_arguments
def modular_addition(
    p: int = 113,
    n: int | None = 256,
    seed: int = 0,
    *,
    change: str = "b",
    metric: str | Metric = "logit_difference",
) -> Task:
    """a, b, "=" → (a + b) mod p. Tokens 0 to p - 1 are numbers, p is "=". Source: Nanda et al. 2023.

    The corrupted prompt has another a or b (`change`); its sum is the wrong answer. Positions: a, b, end.

    Args:
        n: how many pairs, drawn without replacement; None for all p² in order.

    Raises:
        ValueError: for p below 2, more than p² pairs, or an unknown `change`.
    """
    if p < 2:
        raise ValueError(f"p must be at least 2, not {p!r}.")
    if change not in ("a", "b"):
        raise ValueError(f'change must be "a" or "b", not {change!r}.')
    if n is not None:
        check_count(n)
        if n > p * p:
            raise ValueError(f"there are {p * p} pairs modulo {p}, fewer than n={n}.")
    draw = random.Random(f"modular addition {seed}")
    both = torch.tensor(range(p * p) if n is None else draw.sample(range(p * p), n))
    a, b = both // p, both % p
    shift = torch.tensor([draw.randrange(1, p) for _ in range(len(both))])
    other_a, other_b = ((a + shift) % p, b) if change == "a" else (a, (b + shift) % p)
    equals = torch.full_like(a, p)
    correct, wrong = (a + b) % p, (other_a + other_b) % p
    end = torch.full_like(a, 2)
    return Task(
        f"addition modulo {p}",
        torch.stack([a, b, equals], dim=1),
        torch.stack([other_a, other_b, equals], dim=1),
        Answers(end[:, None], correct[:, None, None], wrong[:, None, None]),
        metric=get_metric(metric),
        positions={"a": torch.zeros_like(a), "b": torch.ones_like(a), "end": end},
        labels=_labels(torch.stack([a, b, equals], dim=1), {p: "="}),
        corruption=f"{change} becomes another number, and so does the sum",
        seed=seed,
    )


@checked_arguments
def sorting(
    length: int = 8,
    n_values: int = 32,
    n: int = 64,
    seed: int = 0,
    *,
    metric: str | Metric = "logit_difference",
) -> Task:
    """Numbers, a separator, then the same numbers in ascending order, which the model must predict.

    Tokens 0 to n_values - 1 are numbers (all different within a prompt), n_values is the separator. The corrupted
    prompt has other numbers with their sorted copy; its token at the same position is the wrong answer. Positions:
    separator, end.

    Raises:
        ValueError: if there are fewer than 2 * length values.
    """
    return _rewriting("sorting", sorted, length, n_values, n, seed, metric)


@checked_arguments
def reversal(
    length: int = 8,
    n_values: int = 32,
    n: int = 64,
    seed: int = 0,
    *,
    metric: str | Metric = "logit_difference",
) -> Task:
    """Numbers, a separator, then the same numbers in reverse order; otherwise like `sorting`.

    Raises:
        ValueError: if there are fewer than 2 * length values.
    """
    return _rewriting("reversal", lambda values: values[::-1], length, n_values, n, seed, metric)


@checked_arguments
def balanced_brackets(
    length: int = 12,
    n: int = 64,
    seed: int = 0,
    *,
    metric: str | Metric = "logit_difference",
) -> Task:
    """Brackets, then "=": do they balance?

    Tokens: 0 "(", 1 ")", 2 "=", 3 the answer "balanced", 4 the answer "not balanced". Balanced and unbalanced
    prompts alternate. The corrupted prompt swaps an opening and a closing bracket, so the answer flips while the
    counts stay equal and give nothing away. Positions: end.

    Raises:
        ValueError: for a length that is odd or below 4.
    """
    check_count(n)
    if length < 4 or length % 2:
        raise ValueError(f"length must be an even number of brackets, at least 4, not {length!r}.")
    draw = random.Random(f"brackets {seed}")
    balanced = [_dyck(length, draw) for _ in range(n)]
    broken = [_broken(row, draw) for row in balanced]
    turns = torch.arange(n) % 2 == 0
    end_column = torch.full((n, 1), 2)
    good, bad = (torch.cat([torch.tensor(rows), end_column], dim=1) for rows in (balanced, broken))
    clean = torch.where(turns[:, None], good, bad)
    correct = torch.where(turns, 3, 4)
    end = torch.full((n,), length)
    return Task(
        "balanced brackets",
        clean,
        torch.where(turns[:, None], bad, good),
        Answers(end[:, None], correct[:, None, None], (7 - correct)[:, None, None]),
        metric=get_metric(metric),
        positions={"end": end},
        labels=_labels(clean, {0: "(", 1: ")", 2: "="}),
        corruption="two brackets are swapped; the answer flips",
        seed=seed,
    )


def _rewriting(
    name: str,
    rewrite: Callable[[Sequence[int]], Sequence[int]],
    length: int,
    n_values: int,
    n: int,
    seed: int,
    metric: str | Metric,
) -> Task:
    check_count(n)
    if length < 2 or n_values < 2 * length:
        raise ValueError(
            f"{name}: a list of {length} numbers (at least 2) and its corrupted counterpart need {2 * length} "
            f"different values, but there are only {n_values}."
        )
    draw = random.Random(f"{name} {seed}")
    drawn = [draw.sample(range(n_values), 2 * length) for _ in range(n)]
    rows = [[[*half, n_values, *rewrite(half)] for half in (row[:length], row[length:])] for row in drawn]
    clean, corrupted = torch.tensor(rows).unbind(1)
    where = torch.arange(length, 2 * length).expand(n, -1).clone()
    return Task(
        name,
        # Drop the last answer: nothing follows it, so it is never an input.
        clean[:, :-1].clone(),
        corrupted[:, :-1].clone(),
        Answers(where, clean[:, length + 1 :, None].clone(), corrupted[:, length + 1 :, None].clone()),
        metric=get_metric(metric),
        positions={"separator": where[:, 0], "end": where[:, -1]},
        labels=_labels(clean[:, :-1], {n_values: ">"}),
        corruption="all numbers become others, and so do the answers",
        seed=seed,
    )


def _dyck(length: int, draw: random.Random) -> list[int]:
    """A balanced string, 0 for "(" and 1 for ")"."""
    row, depth = [0], 1
    for left in range(length - 1, 0, -1):
        closes = depth > 0 and (depth == left or draw.random() < 0.5)
        row.append(int(closes))
        depth += -1 if closes else 1
    return row


def _broken(row: list[int], draw: random.Random) -> list[int]:
    """The same brackets with two of them swapped so that they no longer balance."""
    ways = [
        exchanged
        for first in range(len(row))
        for second in range(first + 1, len(row))
        if row[first] == 0 and row[second] == 1 and not _balances(exchanged := _exchange(row, first, second))
    ]
    return draw.choice(ways)


def _exchange(row: list[int], first: int, second: int) -> list[int]:
    changed = list(row)
    changed[first], changed[second] = row[second], row[first]
    return changed


def _balances(row: Sequence[int]) -> bool:
    depth = 0
    for bracket in row:
        depth += -1 if bracket else 1
        if depth < 0:
            return False
    return depth == 0


def _labels(tokens: torch.Tensor, names: dict[int, str]) -> tuple[tuple[str, ...], ...]:
    rows: list[list[int]] = tokens.tolist()
    return tuple(tuple(names.get(token, str(token)) for token in row) for row in rows)
