"""Massive activations: a few tokens whose activation is hundreds of times as long as that of all others.

Many language models write a huge vector into the residual stream of a few tokens, above all the first one, and use them
as a place for attention to rest. Next to one of these, the variance of all other tokens is a rounding error, so any
average over squared lengths describes only these tokens.

Source: Sun et al. 2024, "Massive Activations in Large Language Models", section 2. They call a coordinate massive if it
is about 1,000 times the median magnitude. In a vector of width d whose other coordinates are normally distributed, such
a coordinate makes the vector 674/√d times as long: 24 times at a width of 768. A limit on lengths does not depend on
the basis, and works at any hook point.
"""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from mechscope.arguments import checked_arguments
from mechscope.model.precision import at_least_float32

FACTOR = 25.0
"""A massive activation is more than this many times as long as the median one. In the residual stream of SmolLM2-135M
massive activations are 80 to 170 times as long, and no others are more than 13 times as long."""
SAMPLE = 4096
"""The median is that of this many activations."""
LARGEST_SHARE = 0.1
"""If more than this share of the activations is above the limit, they are no exceptions, and there is no limit: the
output of a head that is off at most tokens looks like that."""


@checked_arguments
def length_limit(x: Float[Tensor, "*batch d"], factor: float = FACTOR) -> float:
    """The length above which an activation is massive: `factor` times the median length of a sample.

    Infinity if the median is 0, or if more than a tenth of the sample would be massive.

    >>> import torch
    >>> length_limit(torch.tensor([[3.0, 4.0]] * 20 + [[600.0, 800.0]]))
    125.0

    Args:
        x: the sample, usually the first `SAMPLE` activations.

    Raises:
        ValueError: for an empty sample, or a factor of at most 1.
    """
    if not factor > 1:
        raise ValueError(f"factor must be above 1, not {factor}: half of all activations exceed the median.")
    lengths = activation_lengths(x).flatten()
    if not len(lengths):
        raise ValueError("there are no activations from which to compute the median length.")
    limit = factor * float(lengths.median())
    massive = int((lengths > limit).sum())
    return limit if limit > 0 and massive <= LARGEST_SHARE * len(lengths) else float("inf")


def is_massive(x: Float[Tensor, "*batch d"], limit: float) -> Bool[Tensor, "*batch"]:
    """True at the activations that are longer than the limit."""
    return activation_lengths(x) > limit


def activation_lengths(x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
    """The length (Euclidean norm) of each activation, at least in float32."""
    return at_least_float32(x).norm(dim=-1)
