"""The checks of the drills of einops and einsum."""

# Loops over cases run at least once.
# pyright: reportPossiblyUnboundVariable=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mechscope.course.kit import largest_tensor, operations
from mechscope.course.trial import Trial
from mechscope.course.units.prerequisites.mistakes_in_drills import LOOP, PRODUCT

EXTRA_OPERATIONS = 10
"""How many more torch operations than the reference a drill without a loop may need."""


def _drill(draw: Callable[[Callable[[], int], Trial], tuple[Any, ...]], what: str) -> Callable[[Trial], None]:
    """A check of a drill: right on small inputs, and without a loop on larger ones.

    Args:
        draw: makes the arguments, given a function that draws a size.
        what: what the answer is called.
    """

    def check(trial: Trial) -> None:
        for smallest in (2, 3, 10):
            # Different sizes, so that exchanged axes show in the shape.
            sizes = smallest + torch.randperm(5, generator=trial.generator)
            arguments = draw(iter(sizes.tolist()).__next__, trial)
            trial.compare(*arguments, what=what)
        count = operations(lambda: trial.function(*arguments))
        needed = operations(lambda: trial.reference(*arguments))
        trial.require(
            count <= needed + EXTRA_OPERATIONS,
            f"the answer is right, but it took {count} operations of torch; one expression needs {needed}.",
            LOOP,
        )

    return check


def _two_factors(size: Callable[[], int], trial: Trial) -> tuple[Tensor, Tensor]:
    shape = (size(), size(), size())
    return trial.normal(*shape), trial.normal(*shape)


def _heads(size: Callable[[], int], trial: Trial) -> tuple[Tensor, int]:
    heads = size()
    return trial.normal(size(), size(), heads * size()), heads


def _images(size: Callable[[], int], trial: Trial) -> tuple[Tensor, int]:
    side = size()
    down = size()
    return trial.normal(size(), down * side, (down + 1) * side), side


def _windows(size: Callable[[], int], trial: Trial) -> tuple[Tensor, int]:
    length = size()
    return trial.normal(size(), length * size(), size()), length


def _streams(size: Callable[[], int], trial: Trial) -> tuple[list[Tensor]]:
    shape = (size(), size(), size())
    return ([trial.normal(*shape) for _ in range(trial.number(2, 5))],)


def _queries_and_keys(size: Callable[[], int], trial: Trial) -> tuple[Tensor, Tensor]:
    batch, queries, heads, d_head = (size() for _ in range(4))
    return trial.normal(batch, queries, heads, d_head), trial.normal(batch, queries + 1, heads, d_head)


def _square_matrix(size: Callable[[], int], trial: Trial) -> tuple[Tensor, Tensor, Tensor]:
    # Square, so that the transposed matrix can be taken by mistake.
    pairs, dim = size(), size()
    return trial.normal(pairs, dim), trial.normal(dim, dim), trial.normal(pairs, dim)


def _factors(size: Callable[[], int], trial: Trial) -> tuple[Tensor, Tensor]:
    heads, rows = size(), size()
    return trial.normal(heads, rows, rows), trial.normal(heads, rows, rows)


def _pattern(size: Callable[[], int], trial: Trial) -> tuple[Tensor]:
    pos = size()
    return (trial.normal(size(), size(), pos, pos).softmax(-1),)


check_split_heads = _drill(_heads, "the heads")
check_cut_patches = _drill(_images, "the patches")
check_stack_layers = _drill(_streams, "the stack")
check_mean_of_windows = _drill(_windows, "the means")
check_repeat_keys = _drill(
    lambda size, trial: (trial.normal(size(), size(), size(), size()), size()), "the keys"
)
check_paired_dot_products = _drill(_two_factors, "the inner products")
check_all_dot_products = _drill(_queries_and_keys, "the inner products")
check_score_through_matrix = _drill(_square_matrix, "the scores")
check_attention_to_itself = _drill(_pattern, "the attention")


def check_traces(trial: Trial) -> None:
    _drill(_factors, "the traces")(trial)
    # Many rows and few columns: A @ B is much larger than A and B.
    rows, columns = trial.number(50, 60), trial.number(2, 5)
    A, B = trial.normal(3, rows, columns), trial.normal(3, columns, rows)
    trial.compare(A, B, rtol=1e-3, atol=1e-3, what="the traces")
    most = largest_tensor(lambda: trial.function(A, B)) / A.nbytes
    trial.require(
        most < 3, f"the answer is right, but it made a tensor {most:.0f} times as large as A.", PRODUCT
    )
