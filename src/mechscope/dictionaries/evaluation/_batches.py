"""Iterate over activations in checked batches [batch d_in], with one batch in memory at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, cast

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.dictionaries.features import Features


class Codes(Protocol):
    """Anything that can be evaluated: a dictionary, or another object that encodes and decodes."""

    def encode(self, x: Float[Tensor, "batch d_in"], /) -> Features:
        """Feature activations."""
        ...

    def decode(self, features: Any, x: Float[Tensor, "batch d_in"], /) -> Float[Tensor, "batch d_out"]:
        """The reconstruction from features; x are the activations that they came from."""
        ...


Batch = Tensor | tuple[Tensor, Tensor]
"""Activations [*batch d_in], or a pair of a transcoder's inputs and targets."""
Activations = Batch | Iterable[Batch]
"""One batch, or any number of batches."""


def batches(
    activations: Activations, batch_size: int = 4096, d_in: int | None = None
) -> Iterator[tuple[Float[Tensor, "batch d_in"], Float[Tensor, "batch d_out"]]]:
    """Inputs and targets, `batch_size` examples at a time; for an autoencoder they are the same tensor.

    Raises:
        ValueError: for a batch_size below 1, for activations that are empty, of another width than `d_in`, or not
            finite.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}.")
    one = isinstance(activations, (Tensor, tuple))
    given = cast("Iterable[Batch]", [activations] if one else activations)
    seen = 0
    for batch in given:
        x, y = batch if isinstance(batch, tuple) else (batch, batch)
        x, y = _rows(x, "activations"), _rows(y, "targets")
        if len(x) != len(y):
            raise ValueError(
                f"there are {len(x)} activations but {len(y)} targets; a transcoder needs one target per activation."
            )
        if d_in is not None and x.shape[-1] != d_in:
            raise ValueError(
                f"activations have width {x.shape[-1]}, but this dictionary reads {d_in}: is it from another "
                "hook point?"
            )
        for start in range(0, len(x), batch_size):
            rows = slice(start, start + batch_size)
            _check_finite(x[rows], seen)
            if y is not x:
                _check_finite(y[rows], seen)
            seen += len(x[rows])
            some = x[rows]
            yield some, some if y is x else y[rows]
    if not seen:
        raise ValueError("there are no activations to evaluate on: the tensor or the stream is empty.")


def written_out(features: Features) -> Float[Tensor, "*batch feature"]:
    """Features as a dense tensor."""
    return features if isinstance(features, Tensor) else features.dense()


def _rows(values: Tensor, what: str) -> Tensor:
    if values.ndim < 2:
        raise ValueError(f"{what} must be [batch d_in] or [batch pos d_in], not shape {tuple(values.shape)}.")
    return values if values.ndim == 2 else values.flatten(0, -2)


def _check_finite(values: Tensor, before: int) -> None:
    bad = ~torch.isfinite(values).all(-1)
    if bad.any():
        first = before + int(bad.nonzero()[0])
        raise ValueError(
            f"activations are not finite: {int(bad.sum())} of {len(bad)} examples of a batch, the first is example "
            f"{first}. Does the model overflow in this dtype?"
        )
