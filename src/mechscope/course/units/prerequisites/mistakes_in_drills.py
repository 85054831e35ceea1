"""Mistakes in the drills of einops and einsum."""

# Known mistakes have the parameters of the function that they are mistaken for.
# pyright: reportMissingParameterType=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import einops
import torch
from einops import einsum, rearrange, reduce, repeat
from torch import Tensor

from mechscope.course.trial import Mistake
from mechscope.course.units.prerequisites import reference

LOOP = "There is a loop in your function. Write what it does with each index as one expression instead."
PRODUCT = "You made A @ B first. Its diagonal is all that counts, and one einsum adds it up without the rest."


def _looped(function: Callable[..., Tensor]) -> Mistake:
    """The right answer, found with a loop over the first axis of all tensors that the function gets."""

    def wrong(*arguments: Any) -> Tensor:
        tensors = [each for each in arguments if isinstance(each, Tensor)]
        others = [each for each in arguments if not isinstance(each, Tensor)]
        rows = zip(*tensors, strict=True)
        return torch.cat([function(*(each[None] for each in row), *others) for row in rows])

    return Mistake(wrong, LOOP)


# Heads


def _dealt_in_turn(x, n_heads):
    return rearrange(x, "batch pos (d_head head) -> batch head pos d_head", head=n_heads)


def _reshaped_only(x, n_heads):
    batch, pos, width = x.shape
    return x.reshape(batch, n_heads, pos, width // n_heads)


def _not_moved(x, n_heads):
    return rearrange(x, "batch pos (head d_head) -> batch pos head d_head", head=n_heads)


# Patches


def _patches_turned(images, size):
    return rearrange(images, "batch (down y) (across x) -> batch (down across) (x y)", y=size, x=size)


def _column_by_column(images, size):
    return rearrange(images, "batch (down y) (across x) -> batch (across down) (y x)", y=size, x=size)


def _cut_in_order(images, size):
    return images.reshape(len(images), -1, size * size)


def _pixels_far_apart(images, size):
    return rearrange(images, "batch (y down) (x across) -> batch (down across) (y x)", y=size, x=size)


# Layers


def _layer_first(streams):
    return torch.stack(streams)


def _layer_second(streams):
    return torch.stack(streams, 1)


def _layers_joined(streams):
    return torch.cat(streams, -1)


def _streams_looped(streams):
    positions = range(streams[0].shape[1])
    return torch.stack([torch.stack([stream[:, p] for stream in streams], 1) for p in positions], 1)


# Windows


def _windows_far_apart(x, size):
    return reduce(x, "batch (size window) d_model -> batch window d_model", "mean", size=size)


def _summed_windows(x, size):
    return reduce(x, "batch (window size) d_model -> batch window d_model", "sum", size=size)


def _largest_of_windows(x, size):
    return reduce(x, "batch (window size) d_model -> batch window d_model", "max", size=size)


def _first_of_windows(x, size):
    return x[:, ::size]


# Keys


def _keys_in_turn(keys, times):
    return repeat(keys, "batch pos kv_head d_head -> batch pos (times kv_head) d_head", times=times)


def _numbers_repeated(keys, times):
    return repeat(keys, "batch pos kv_head d_head -> batch pos kv_head (d_head times)", times=times)


def _positions_repeated(keys, times):
    return repeat(keys, "batch pos kv_head d_head -> batch (pos times) kv_head d_head", times=times)


# Inner products


def _every_pair(a, b):
    return einsum(a, b, "batch one d_model, batch other d_model -> batch one other")


def _positions_summed(a, b):
    return einsum(a, b, "batch pos d_model, batch pos d_model -> batch")


def _not_summed(a, b):
    return a * b


def _cosines(a, b):
    return torch.cosine_similarity(a, b, dim=-1)


def _keys_first(q, k):
    return einsum(q, k, "batch query head d_head, batch key head d_head -> batch head key query")


def _heads_summed(q, k):
    return einsum(q, k, "batch query head d_head, batch key head d_head -> batch query key")


def _heads_last(q, k):
    return einsum(q, k, "batch query head d_head, batch key head d_head -> batch query key head")


def _scaled(q, k):
    return reference.all_dot_products(q, k) / q.shape[-1] ** 0.5


# Three tensors


def _matrix_turned(x, W, y):
    return einsum(x, W, y, "pair left, right left, pair right -> pair")


def _all_pairs_of_rows(x, W, y):
    return x @ W @ y.T


def _without_matrix(x, W, y):
    return (x * y).sum(-1)


def _pairs_summed(x, W, y):
    return einsum(x, W, y, "pair left, left right, pair right -> ")


def _pairs_looped(x, W, y):
    return torch.stack([one @ W @ other for one, other in zip(x, y, strict=True)])


# Traces


def _entry_by_entry(A, B):
    return einsum(A, B, "head i j, head i j -> head")


def _traces_multiplied(A, B):
    return torch.einsum("hii -> h", A) * torch.einsum("hii -> h", B)


def _all_entries(A, B):
    return (A @ B).sum((-1, -2))


def _product_first(A, B):
    return torch.einsum("hii -> h", A @ B)


# The diagonal of attention


def _to_the_one_before(pattern):
    return pattern.diagonal(-1, dim1=-2, dim2=-1).mean((0, -1))


def _added_over_texts(pattern):
    return torch.einsum("bhpp -> h", pattern) / pattern.shape[-1]


def _added_over_positions(pattern):
    return torch.einsum("bhpp -> h", pattern) / len(pattern)


def _every_entry(pattern):
    return pattern.mean((0, 2, 3))


def _diagonal_looped(pattern):
    heads = range(pattern.shape[1])
    return torch.stack([einops.rearrange(pattern[:, h], "b p q -> p q b").diagonal().mean() for h in heads])


MISTAKES = {
    "split_heads": (
        Mistake(
            _dealt_in_turn,
            "This deals the numbers out to the heads in turn. In (head d_head) each head has a run of neighbours.",
        ),
        Mistake(
            _reshaped_only,
            "A reshape keeps the numbers in their order and only counts them differently, so this mixes positions "
            "with heads. Split the last axis first, then move the head axis.",
        ),
        Mistake(_not_moved, "The heads are cut right, but their axis belongs before the positions."),
        _looped(reference.split_heads),
    ),
    "cut_patches": (
        Mistake(_patches_turned, "Each patch is turned: its pixels go row by row, (y x) and not (x y)."),
        Mistake(
            _column_by_column, "The patches go column by column; they should go row by row: (down across)."
        ),
        Mistake(
            _cut_in_order,
            "A reshape keeps the numbers in their order, so each of your patches is a piece of one long row of pixels.",
        ),
        Mistake(
            _pixels_far_apart,
            "Your patches take every so many pixels from the whole image. In (down y) the y of a patch are neighbours.",
        ),
        _looped(reference.cut_patches),
    ),
    "stack_layers": (
        Mistake(
            _layer_first, "This is the right stack, but the layer axis comes first; it belongs after pos."
        ),
        Mistake(_layer_second, "The layer axis comes before the positions; it belongs after them."),
        Mistake(
            _layers_joined, "You joined the vectors into longer ones. The layers get an axis of their own."
        ),
        Mistake(_streams_looped, LOOP),
    ),
    "mean_of_windows": (
        Mistake(
            _windows_far_apart,
            "Your windows take positions that are far apart. In (window size) those of a window are neighbours.",
        ),
        Mistake(_summed_windows, "This is the sum over each window, not the mean."),
        Mistake(_largest_of_windows, "This is the largest value in each window, not the mean."),
        Mistake(_first_of_windows, "You took the first position of each window. The mean uses all of them."),
        _looped(reference.mean_of_windows),
    ),
    "repeat_keys": (
        Mistake(
            _keys_in_turn,
            "Your heads use the key heads in turn: 0, 1, 0, 1. Heads that share one follow each other: 0, 0, 1, 1.",
        ),
        Mistake(_numbers_repeated, "You repeated the numbers within each key. Whole key heads are repeated."),
        Mistake(_positions_repeated, "You repeated positions. Key heads are repeated."),
        _looped(reference.repeat_keys),
    ),
    "paired_dot_products": (
        Mistake(
            _every_pair,
            "This compares every position with every other. With one name for the position on both sides, only pairs "
            "in the same place meet.",
        ),
        Mistake(
            _positions_summed,
            "You summed over the positions, too: a name that is missing on the right is summed over.",
        ),
        Mistake(_not_summed, "The products are right, but they are not added up over d_model."),
        Mistake(_cosines, "These are cosines. An inner product is not divided by the lengths."),
        _looped(reference.paired_dot_products),
    ),
    "all_dot_products": (
        Mistake(
            _keys_first,
            "Queries and keys are exchanged in the answer: [batch, head, query, key] is expected.",
        ),
        Mistake(_heads_summed, "You summed over the heads: the name is missing on the right of the arrow."),
        Mistake(_heads_last, "The values are right, but the head axis comes right after the batch."),
        Mistake(_scaled, "You divided by the square root of d_head. That comes later, in unit T."),
        _looped(reference.all_dot_products),
    ),
    "score_through_matrix": (
        Mistake(_matrix_turned, "W is transposed: x meets its rows (left), and y its columns (right)."),
        Mistake(
            _all_pairs_of_rows, "This scores every x with every y. Each x belongs to the y of the same pair."
        ),
        Mistake(_without_matrix, "W is missing: this is the plain inner product of x and y."),
        Mistake(_pairs_summed, "You summed over the pairs. Keep their name on the right of the arrow."),
        Mistake(_pairs_looped, LOOP),
    ),
    "traces": (
        Mistake(
            _entry_by_entry,
            "You multiplied A and B entry by entry. In the trace, A[i, j] meets B[j, i].",
        ),
        Mistake(_traces_multiplied, "The trace of a product is not the product of the traces."),
        Mistake(_all_entries, "You added up all of A @ B. The trace is the sum of its diagonal alone."),
        Mistake(_product_first, PRODUCT),
        _looped(reference.traces),
    ),
    "attention_to_itself": (
        Mistake(_to_the_one_before, "This is the attention to the position before."),
        Mistake(_added_over_texts, "You added up the texts; take their mean as well: divide by batch, too."),
        Mistake(
            _added_over_positions, "You added up the positions; take their mean as well: divide by pos, too."
        ),
        Mistake(_every_entry, "This is the mean over the whole pattern. Only its diagonal counts."),
        Mistake(_diagonal_looped, LOOP),
    ),
}
"""Exercise → its known mistakes."""
