"""The programs by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mechscope.arguments import checked_arguments
from mechscope.near_names import did_you_mean
from mechscope.planted.compiling import compile_program
from mechscope.planted.library.arithmetic import addition, modular_addition
from mechscope.planted.library.brackets import dyck2
from mechscope.planted.library.copying import duplicate_token, first_token, induction, ioi, previous_token
from mechscope.planted.library.counting import histogram, most_frequent, parity, pattern_count
from mechscope.planted.library.ordering import reversal, sort, sort_next
from mechscope.planted.planted_model import PlantedModel
from mechscope.planted.program import Program

PROGRAMS: dict[str, Callable[..., Program]] = {
    program.__name__: program
    for program in (
        previous_token,
        first_token,
        induction,
        duplicate_token,
        ioi,
        reversal,
        sort,
        sort_next,
        histogram,
        most_frequent,
        pattern_count,
        parity,
        dyck2,
        addition,
        modular_addition,
    )
}
"""Every program of the library; the arguments of its function are the program's sizes."""

STEADY_NOISE: dict[str, float] = {
    "previous_token": 0.05,
    "first_token": 0.05,
    "induction": 0.01,
    "duplicate_token": 0.03,
    "ioi": 0.05,
    "reversal": 0.05,
    "sort": 0.001,
    "sort_next": 0.01,
    "histogram": 0.003,
    "most_frequent": 0.001,
    "pattern_count": 0.005,
    "parity": 0.003,
    "dyck2": 0.005,
    "addition": 0.003,
    "modular_addition": 0.03,
}
"""Noise at which each program, at its default sizes, still gets every answer right; counting tolerates least."""


@checked_arguments
def load(
    name: str,
    *,
    noise: float = 0.0,
    rotate: bool = False,
    seed: int = 0,
    extra_layers: int = 0,
    extra_heads: int = 0,
    extra_neurons: int = 0,
    sharpness: float = 6.0,
    margin: float = 6.0,
    device: str = "cpu",
    **sizes: Any,
) -> PlantedModel:
    """A planted model from the library.

    Args:
        name: one of `PROGRAMS`.
        noise: see `STEADY_NOISE` for how much each program tolerates.
        sizes: the program's sizes, such as `length` or `n_tokens`; the other arguments are as in `compile_program`.

    Raises:
        KeyError: for an unknown name; suggests the closest ones.
        ValueError: for unknown sizes, or noise that makes answers wrong.

    >>> load("induction").run(["a b c d a b c d a b c d"])[0][5:]
    ['b', 'c', 'd', 'a', 'b', 'c', 'd', 'a']
    """
    if name not in PROGRAMS:
        hint = did_you_mean(name, PROGRAMS, n=2)
        raise KeyError(f"unknown planted program {name!r}; choose from {', '.join(PROGRAMS)}.{hint}")
    builder = PROGRAMS[name]
    known = builder.__code__.co_varnames[: builder.__code__.co_argcount]
    unknown = [size for size in sizes if size not in known]
    if unknown:
        raise ValueError(f"{name} has no size {unknown[0]!r}; it has {', '.join(known)}.")
    return compile_program(
        builder(**sizes),
        noise=noise,
        rotate=rotate,
        seed=seed,
        extra_layers=extra_layers,
        extra_heads=extra_heads,
        extra_neurons=extra_neurons,
        sharpness=sharpness,
        margin=margin,
        device=device,
    )
