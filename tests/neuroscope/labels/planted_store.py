"""A store whose units are known: one does exactly what a rule says, others do not."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mechscope.neuroscope.contents import (
    About,
    Contents,
    SiteContents,
    StoredContext,
    StoredSequence,
    StoredUnit,
)
from mechscope.neuroscope.labels.readings import Readings
from mechscope.neuroscope.sample_pass import Sample
from mechscope.neuroscope.settings import HarvestSettings
from mechscope.neuroscope.statistics import SiteStatistics
from mechscope.neuroscope.writing import write_contents

VOCABULARY = ("<b>", " the", " cat", " dog", " sat", " ran", " on", " mat", ".", "\n")
CAT = VOCABULARY.index(" cat")
DOCUMENTS, LENGTH, UNITS = 60, 40, 60
PLANTED, SHUFFLED, DEAD, ALWAYS, AFTER_DOG = 0, 1, 2, 3, 4
"""Unit 0 is 4 on " cat" and 0 elsewhere; unit 1 has the same activations in another order; units from 5 on fire as
often as unit 0, at random places."""
SHOWN = 3
"""The page of every unit shows the first so many documents."""


def tokens(seed: int = 0) -> np.ndarray:
    """Sequences [document pos]; each starts with a begin token."""
    drawn = np.random.default_rng(seed).integers(1, len(VOCABULARY), (DOCUMENTS, LENGTH))
    drawn[:, 0] = 0
    return drawn


def activations(ids: np.ndarray, seed: int = 0) -> np.ndarray:
    """What the units do on tokens [document pos]: [token unit]."""
    draw = np.random.default_rng([seed, 1])
    own = ids.ravel()
    values = np.where(draw.random((len(own), UNITS)) < 1 / 9, 4.0, 0.0)
    values[:, PLANTED] = 4.0 * (own == CAT)
    values[:, SHUFFLED] = draw.permutation(values[:, PLANTED])
    values[:, DEAD] = -0.1 * draw.random(len(own))
    values[:, ALWAYS] = 3 + draw.random(len(own))
    values[:, AFTER_DOG] = 4.0 * (np.roll(own, 1) == VOCABULARY.index(" dog"))
    return values


def planted_store(folder: Path) -> Path:
    """Write the store; returns its folder."""
    ids = tokens()
    values = activations(ids)
    counted = np.ones(LENGTH, bool)
    counted[0] = False
    sequences = [StoredSequence(number, f"{number:02d}.txt", row, counted) for number, row in enumerate(ids)]
    write_contents(
        folder,
        Contents(
            About("planted", "0" * 16, "planted", ids.size, DOCUMENTS, dataclasses.asdict(HarvestSettings())),
            tuple(enumerate(VOCABULARY)),
            {"mlp0": UNITS},
            [_site(ids, values)],
            sequences,
            (),
        ),
    )
    return folder


def _site(ids: np.ndarray, values: np.ndarray) -> SiteContents:
    edges = np.arange(-1, 5.5, 0.5)
    deviation = np.where(values.std(0) > 0, values.std(0), 1)
    scaled = (values - values.mean(0)) / deviation
    statistics = SiteStatistics(
        np.full(UNITS, len(values)), (values > 0).mean(0), values.mean(0), values.var(0),
        (scaled**3).mean(0), (scaled**4).mean(0) - 3, values.max(0), values.min(0),
    )  # fmt: skip
    counts = np.stack([np.histogram(each, edges)[0] for each in values.T])
    return SiteContents(
        "mlp0",
        "mlp0",
        False,
        DOCUMENTS,
        statistics,
        edges,
        counts,
        [_unit(ids, values[:, u]) for u in range(UNITS)],
    )


def _unit(ids: np.ndarray, values: np.ndarray) -> StoredUnit:
    """A unit that shows the strongest token of each of the first documents."""
    rows = values.reshape(DOCUMENTS, LENGTH)
    contexts = []
    for number in range(SHOWN):
        focus = 1 + int(rows[number, 1:].argmax())
        start = max(0, focus - 5)
        contexts.append(
            StoredContext(
                "top", float(rows[number, focus]), number, focus, int(ids[number, focus]), start,
                rows[number, start : focus + 3].astype(np.float32),
            )
        )  # fmt: skip
    return StoredUnit(tuple(contexts), (), ())


def read_planted(
    opened: object,
    site: str,
    units: Sequence[int] | None,
    settings: HarvestSettings,
    sample: Sample,
    vocabulary: dict[int, str],
) -> Readings:
    """In place of `read_units`: what the units do, without a model."""
    ids = np.stack(sample.tokens)
    seed = 0 if len(ids) == DOCUMENTS and (ids == tokens()).all() else 1
    counted = np.ones(ids.shape, bool)
    counted[:, 0] = False
    chosen = tuple(range(UNITS) if units is None else units)
    many = np.concatenate(
        [activations(some, seed) for some in np.split(ids, len(ids))] if seed else [activations(ids)]
    )
    return Readings(
        tuple(tuple(vocabulary[token] for token in row) for row in ids.tolist()),
        sample.documents,
        chosen,
        many[:, list(chosen)],
        counted.ravel(),
    )
