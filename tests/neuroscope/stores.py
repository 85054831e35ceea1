"""A store that is filled by hand: two sites, a vocabulary of letters, and contexts that can be checked on paper."""

import dataclasses
from pathlib import Path

import numpy as np

from mechscope.neuroscope.contents import (
    About,
    CoActivation,
    Contents,
    SiteContents,
    StoredContext,
    StoredSequence,
    StoredUnit,
)
from mechscope.neuroscope.statistics import SiteStatistics
from mechscope.neuroscope.writing import write_contents

VOCABULARY = (" the", " cat", " sat", " on", " mat", '"', "<b>", "\n")
SEQUENCES = (
    StoredSequence(3, "cats.txt", np.array([0, 1, 2, 3, 0, 4])),
    StoredSequence(7, "cats.txt", np.array([5, 6, 7, 1]), np.array([False, True, True, True])),
    StoredSequence(9, "dogs.txt", np.array([0, 4, 0, 4]), np.array([False, True, True, True])),
)
TOKENS = {sequence.id: sequence.tokens.tolist() for sequence in SEQUENCES}
ABOUT = About("toy", "0123456789abcdef", "two files", 1003, 2, {"top": 2}, co_activation_tokens=6)


def context(kind, value, sequence, focus, start, activations, quantile=None) -> StoredContext:
    return StoredContext(
        kind,
        value,
        sequence,
        focus,
        TOKENS[sequence][focus],
        start,
        np.array(activations, np.float32),
        quantile,
    )


def statistics(units: int) -> SiteStatistics:
    up = np.arange(units, dtype=np.float64)
    return SiteStatistics(np.full(units, 1000), up / units, up, 1 + up, up - 1, up * 2 - 2, up + 3.0, -1 - up)


def neurons(count: int = 3) -> SiteContents:
    units = [StoredUnit((), (), ()) for _ in range(count)]
    units[1] = StoredUnit(
        (
            context("top", 3.5, 3, 1, 0, [0.25, 3.5, 0.0, -0.125]),
            context("top", 2.5, 7, 3, 1, [0.0, 0.5, 2.5]),
            context("quantile", 0.5, 7, 2, 1, [0.0, 0.5, 2.5], 0.5),
            context("random", -0.125, 3, 3, 2, [0.0, -0.125]),
        ),
        ((1, 0.5), (2, 0.25)),
        ((0, -0.75),),
        ((2, 0.875), (0, -0.5)),
    )
    units[2] = StoredUnit((context("top", 1.0, 9, 1, 0, [0.0, 1.0, 0.0, 0.5]),), (), ())
    counts = np.zeros((count, 6), np.int64)
    counts[:, 2] = 10
    counts[1, 3:5] = 4, 1
    return SiteContents("mlp0", "mlp0", False, 3, statistics(count), np.arange(7) / 2 - 1, counts, units)


def heads() -> SiteContents:
    units = [
        StoredUnit((context("low", -0.5, 3, 2, 2, [-0.5]),)),
        StoredUnit((context("top", 1.5, 3, 5, 4, [0.5, 1.5]), context("low", 0.25, 7, 1, 1, [0.25]))),
    ]
    return SiteContents(
        "attn0.entropy",
        "attn0.entropy",
        True,
        3,
        statistics(2),
        np.array([0.0, 1.0, 2.0]),
        np.array([[1, 2], [3, 0]]),
        units,
    )


def contents(model: str = "toy", **changes) -> Contents:
    """Contents whose parts can be replaced."""
    sites = (neurons(), heads())
    parts = {
        "about": dataclasses.replace(ABOUT, model=model),
        "vocabulary": tuple(enumerate(VOCABULARY)),
        "sequences": SEQUENCES,
        "site_sizes": {"mlp0": 3, "attn0.entropy": 2},
        "sites": sites,
        "co_activation": [CoActivation("mlp0", 1, (("attn0.entropy", 1, 0.75),))],
    }
    return Contents(**parts | changes)


def toy_store(folder: Path) -> Path:
    write_contents(folder, contents())
    return folder
