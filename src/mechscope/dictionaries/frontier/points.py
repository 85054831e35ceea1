"""What a sweep found: one point a dictionary, and the file they are kept in."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from mechscope.arguments import shown
from mechscope.dictionaries.config import strict
from mechscope.dictionaries.evaluation.evaluating import Evaluation
from mechscope.dictionaries.frontier.settings import SweepConfig, sweep_from_dict
from mechscope.reading import naming, read_json_object
from mechscope.results import versions
from mechscope.runs.config_diff import config_diff
from mechscope.runs.key import AGAIN, NO_INPUTS, NO_SOURCE, source_changes, stale_message
from mechscope.storage.files import write_atomically

log = logging.getLogger(__name__)

FORMAT = "mechscope-sweep-1"


@dataclass(frozen=True, kw_only=True)
class Point:
    """One trained dictionary, measured on what was held out."""

    architecture: str
    """Its architecture."""
    sparsity: float
    """Its k, l1 or l0."""
    lr: float
    """Its learning rate."""
    seed: int
    """Of its weights and batches."""
    objective: float
    """Its own training loss, mean over the last tenth of the logged steps."""
    l0: float
    """Active features an example."""
    fvu: float
    """Fraction of variance unexplained."""
    bias: float
    """Relative reconstruction bias: below 1, reconstructions are too short."""
    dead_share: float
    """Share of features that were never active."""
    delta_ce: float | None = None
    """Nats that splicing it in costs; None without a language model."""
    recovered_mean: float | None = None
    """Loss recovered, by mean ablation."""
    mmcs: float | None = None
    """Mean max cosine similarity, true to learned; None where no truth is known."""
    mmcs_back: float | None = None
    """The same, learned to true."""
    refit_gain: float | None = None
    """Share of the squared error that the best coefficients for the active features would take away."""

    @property
    def name(self) -> str:
        """What its files are called."""
        return point_name(self.architecture, self.sparsity, self.lr, self.seed)


def point_name(architecture: str, sparsity: float, lr: float, seed: int) -> str:
    """What the files of a point are called.

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
    """A point that an earlier run left; None if there is none, or one of other settings or other code.

    Args:
        made_from: checksums of the weights and the text behind it.
        source: digests of the source files that compute it; None does not ask.

    Raises:
        ValueError: for a point of the same settings, but of other weights or other text.
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
    if not isinstance(fields, dict):
        raise ValueError(f"{path}: a point must be an object {{…}}, not {shown(fields)}. Remove the file.")
    # A measurement may be NaN: the cosine similarity of a dictionary whose features are all dead.
    return strict(Point, cast("dict[str, Any]", fields), f"{path}: a point", finite=False)


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
    """Everything that a sweep found."""

    config: SweepConfig
    """What was asked for."""
    words: str
    """Where the activations came from."""
    points: tuple[Point, ...]
    """The frontier's points, by architecture, sparsity and seed."""
    tried: tuple[Point, ...]
    """Those that the learning rates were chosen by."""
    minutes: float
    """Time that the trainings took, over all the runs that took part."""
    versions: Mapping[str, str] = dataclasses.field(default_factory=versions)
    """Package → version."""

    @property
    def learning_rates(self) -> dict[str, float]:
        """Architecture → the learning rate that was used."""
        return {point.architecture: point.lr for point in self.points}

    def of(self, architecture: str, seed: int | None = None) -> list[Point]:
        """An architecture's points, in the order of L0."""
        chosen = [
            point
            for point in self.points
            if point.architecture == architecture and (seed is None or point.seed == seed)
        ]
        return sorted(chosen, key=lambda point: point.l0)

    @property
    def architectures(self) -> list[str]:
        """Who took part, in order."""
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
    """Read what `Sweep.save` wrote.

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
            f"{path} lacks {', '.join(wrong)}, or has a value of the wrong kind there. Run the sweep again."
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
