"""Run one discovery method on one planted program."""

from __future__ import annotations

import time
from collections.abc import Callable

from mechscope.scoreboard.discovery import EXAMPLES, Discovered, Discovery, checked
from mechscope.scoreboard.matches import disguised_model
from mechscope.scoreboard.methods import METHODS
from mechscope.scoreboard.planted_records import flat_scores
from mechscope.techniques.circuits import EdgeGraph

STAGES = 3


def discover(
    program: str,
    method: str,
    *,
    condition: str = "plain",
    examples: int = EXAMPLES,
    seed: int = 0,
    report: Callable[[str, int, int], None] | None = None,
) -> Discovered:
    """The scores that a method of the scoreboard gives to the edges, or heads and MLPs, of a planted program's model.

    The model is the one that the web lab shows. With 64 examples and seed 0, the scores are those that come with
    mechscope, up to rounding.

    Args:
        program: a name in `planted.PROGRAMS`.
        method: a name in `METHODS`.
        condition: a name in `CONDITIONS`.
        examples: pairs of prompts that the method sees, from 2 to 256.
        seed: decides the prompts and the random draws of the method.
        report: called with what is done now, the number of finished stages, and the number of all stages.

    Raises:
        KeyError: for an unknown program or method.
        ValueError: for an unknown condition, or a number out of range.

    >>> len(discover("previous_token", "attribution", examples=4).scores)
    6
    """
    discovery = checked(
        Discovery(program=program, method=method, condition=condition, examples=examples, seed=seed)  # pyright: ignore[reportArgumentType] - checked when it is made
    )
    report = report or (lambda activity, done, total: None)
    report(f"compiling {program}", 0, STAGES)
    model = disguised_model(program, condition)
    report(f"drawing {examples} pairs of prompts", 1, STAGES)
    task = model.task(examples, seed=seed)
    report(f"running {METHODS[method].words}", 2, STAGES)
    start = time.perf_counter()
    scored = METHODS[method].method(model.model, task, seed)
    seconds = time.perf_counter() - start
    scores = flat_scores(EdgeGraph.of(model.model), scored)
    return Discovered(discovery=discovery, scores=tuple(scores), seconds=seconds)
