"""The results of a sweep: one point per dictionary, and the files that store them."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from mechscope.dictionaries.evaluation.evaluating import Evaluation
from mechscope.dictionaries.frontier.settings import SweepConfig, sweep_from_dict
from mechscope.reading import naming, read_json_object
from mechscope.results import versions
from mechscope.runs.config_diff import config_diff
from mechscope.runs.key import AGAIN, NO_INPUTS, NO_SOURCE, source_changes, stale_message
from mechscope.settings import decode
from mechscope.storage.files import write_atomically

log = logging.getLogger(__name__)

FORMAT = "mechscope-sweep-1"


@dataclass(frozen=True, kw_only=True)
class Point:
    """One trained dictionary, measured on held-out activations."""

    architecture: str
    """Its architecture."""
    sparsity: float
    """Its k, l1 or l0."""
    lr: float
    """Its learning rate."""
    seed: int
    """Seed of its weights and batches."""
    objective: float
    """Its training loss, averaged over the last tenth of the logged steps."""
    l0: float
    """Active features per example."""
    fvu: float
    """Fraction of variance unexplained."""
    bias: float
    """Relative reconstruction bias: below 1, reconstructions are too short."""
    dead_share: float
    """Share of features that were never active."""
    delta_ce: float | None = None
    """Increase in cross-entropy when it is spliced in, in nats; None without a language model."""
    recovered_mean: float | None = None
    """Loss recovered relative to mean ablation."""
    mmcs: float | None = None
    """Mean max cosine similarity from true to learned features; None if the true ones are unknown."""
    mmcs_back: float | None = None
    """The same from learned to true features."""
    refit_gain: float | None = None
    """Share of the squared error that the best coefficients for the active features would remove."""

    @property
    def name(self) -> str:
        """The name of its files."""
        return point_name(self.architecture, self.sparsity, self.lr, self.seed)


def point_name(architecture: str, sparsity: float, lr: float, seed: int) -> str:
    """The name of a point's files.

    >>> point_name("topk", 16.0, 0.01, 0)
    'topk-16-lr-0.01-seed-0'
    """
    return f"{architecture}-{sparsity:g}-lr-{lr:g}-seed-{seed}"


def make_point(
    architecture: str, sparsity: float, lr: float, seed: int, objective: float, found: Evaluation
) -> Point:
    """A point from an evaluation."""
    splice, recovery = found.splice, found.recovery
    return Point(
        architecture=architecture,
        sparsity=sparsity,
        lr=lr,
        seed=seed,
        objective=objective,
        l0=found.l0,
        fvu=found.fvu,
        bias=found.bias,
        dead_share=found.activity.dead_share,
        delta_ce=None if splice is None else splice.delta_ce,
        recovered_mean=None if splice is None else splice.recovered_mean,
        mmcs=None if recovery is None else recovery.mmcs,
        mmcs_back=None if recovery is None else recovery.mmcs_back,
    )


def read_point(
    path: Path,
    fingerprint: str,
    made_from: Mapping[str, str] | None = None,
    source: Mapping[str, str] | None = None,
) -> Point | None:
    """A point of an earlier run; None if there is none, or if its settings or code have changed.

    Args:
        made_from: checksums of the model's weights and of the text.
        source: digests of the source files that compute it; None does not check them.

    Raises:
        ValueError: for a point with the same settings, but from other weights or other text.
    """
    try:
        described = read_json_object(path)
    except (OSError, ValueError):
        return None
    if described.get("fingerprint") != fingerprint:
        log.warning("%s", stale_message(path, "its settings have changed", AGAIN))
        return None
    here, there = dict(made_from or {}), described.get("made_from", {})
    if here and not there:
        raise ValueError(f"{path} {NO_INPUTS} Give another folder, or remove this one to begin anew.")
    if differ := "; ".join(config_diff(there, here, "there", "here")):
        raise ValueError(
            f"{path} belongs to other activations: {differ}. Give another folder, or remove this one to begin anew."
        )
    if source is not None and (changes := _code_changes(described.get("source"), source)):
        log.warning("%s", stale_message(path, changes, AGAIN))
        return None
    return _point(described.get("point"), path)


def _code_changes(there: Any, here: Mapping[str, str]) -> str:
    if not isinstance(there, dict):
        return NO_SOURCE
    return source_changes(cast("dict[str, str]", there), here)


def _point(fields: Any, path: Path) -> Point:
    # A measurement may be NaN: the cosine similarity of a dictionary whose features are all dead.
    return decode(Point, fields, f"{path}: a point", finite=False)


def write_point(
    path: Path,
    point: Point,
    fingerprint: str,
    made_from: Mapping[str, str] | None = None,
    source: Mapping[str, str] | None = None,
) -> Path:
    """Store a point; the arguments are those of `read_point`."""
    described = {
        "fingerprint": fingerprint,
        "made_from": dict(made_from or {}),
        "source": dict(source or {}),
        "point": dataclasses.asdict(point),
    }
    return write_atomically(path, json.dumps(described, indent=1) + "\n")


@dataclass(frozen=True)
class Sweep:
    """The results of a sweep."""

    config: SweepConfig
    """Its settings."""
    words: str
    """A description of the activations."""
    points: tuple[Point, ...]
    """The points of the frontiers, one per architecture, sparsity and seed."""
    tried: tuple[Point, ...]
    """The points from which learning rates were chosen."""
    minutes: float
    """Total training time, including that of earlier runs."""
    versions: Mapping[str, str] = dataclasses.field(default_factory=versions)
    """Package → version."""

    @property
    def learning_rates(self) -> dict[str, float]:
        """Architecture → the learning rate that it used."""
        return {point.architecture: point.lr for point in self.points}

    def of(self, architecture: str, seed: int | None = None) -> list[Point]:
        """The points of an architecture, ordered by L0."""
        chosen = [
            point
            for point in self.points
            if point.architecture == architecture and (seed is None or point.seed == seed)
        ]
        return sorted(chosen, key=lambda point: point.l0)

    @property
    def architectures(self) -> list[str]:
        """The architectures, in the sweep's order."""
        return [contender.architecture for contender in self.config.contenders]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "format": FORMAT,
            "config": self.config.to_dict(),
            "words": self.words,
            "minutes": self.minutes,
            "versions": dict(self.versions),
            "points": [dataclasses.asdict(point) for point in self.points],
            "tried": [dataclasses.asdict(point) for point in self.tried],
        }

    def save(self, path: Path) -> Path:
        """Write sweep.json."""
        return write_atomically(path, json.dumps(self.to_dict(), indent=1) + "\n")


def load_sweep(path: Path) -> Sweep:
    """Read the results that `Sweep.save` wrote.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: for a damaged file, or another format.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}: `mechscope sae sweep` writes it.")
    described = read_json_object(path, fix="Run the sweep again.")
    if described.get("format") != FORMAT:
        raise ValueError(f"{path} is not of the format {FORMAT!r}.")
    kinds = {
        "config": dict,
        "words": str,
        "minutes": (int, float),
        "versions": dict,
        "points": list,
        "tried": list,
    }
    if wrong := [name for name, kind in kinds.items() if not isinstance(described.get(name), kind)]:
        raise ValueError(
            f"{path} lacks {', '.join(wrong)}, or has values of the wrong kind. Run the sweep again."
        )
    points, tried = (tuple(_point(point, path) for point in described[kind]) for kind in ("points", "tried"))
    with naming(path):
        config = sweep_from_dict(described["config"])
    return Sweep(
        config,
        described["words"],
        points,
        tried,
        described["minutes"],
        described["versions"],
    )
