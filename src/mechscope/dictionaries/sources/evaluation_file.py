"""evaluation.json: a dictionary's figures, and everything that decided them, so that they are computed only once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mechscope.arguments import is_number, is_whole_number
from mechscope.checkpoints.weights_checksum import DIGITS
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.dictionaries.evaluation.density import Activity
from mechscope.dictionaries.evaluation.evaluating import Evaluation
from mechscope.dictionaries.outliers import OutlierLimits
from mechscope.dictionaries.sources.opening import Source
from mechscope.dictionaries.stream import hash_of
from mechscope.reading import read_json_object
from mechscope.results import versions
from mechscope.runs.key import RunKey, stale_message
from mechscope.runs.source_digest import source_digests

NAME = "evaluation.json"
"""The file's name in a dictionary's folder."""
ONLY_FOR_TRAINING = ("tokens", "batch_size", "buffer_size")
"""Settings of a source that do not change what is held out."""
AGAIN = "It is measured again."
NEEDED = {"L0", "fraction of variance unexplained"}
"""Measures that every evaluation has."""


@dataclass(frozen=True)
class StoredEvaluation:
    """The figures of an evaluation as the file has them."""

    measures: Mapping[str, float]
    """Measure → value, in the order of `Evaluation.table`."""
    activity: Activity
    """How often each feature was active."""
    outliers: int
    """Number of massive activations, which were left out."""
    limits: Mapping[str, float | None]
    """The lengths above which activations are outliers."""

    @staticmethod
    def of(found: Evaluation) -> StoredEvaluation:
        """The figures of an evaluation."""
        numbers = found.table.values
        measures = {str(name): float(numbers.sel(measure=name)) for name in numbers.coords["measure"].values}
        return StoredEvaluation(measures, found.activity, found.outliers, found.outlier_limits.to_metadata())


def evaluation_key(dictionary: Dictionary, source: Source) -> RunKey:
    """Everything that decides the figures: dictionary, model, text, settings and code."""
    settings = {
        name: value for name, value in source.config.to_dict().items() if name not in ONLY_FOR_TRAINING
    }
    # Where it was trained does not matter, but which positions it leaves out does.
    metadata = {name: value for name, value in dictionary.metadata.items() if name != "source"}
    state = dictionary.state()
    weights = hash_of(*(state[name] for name in sorted(state)))[:DIGITS]
    described = {"dictionary": dictionary.cfg.to_dict(), "metadata": metadata, "source": settings}
    return RunKey(
        json.loads(json.dumps(described)),
        {"dictionary weights": weights, **source.evaluated_on()},
        source_digests("mechscope.dictionaries.sources.opening", type(dictionary).__module__),
    )


def to_json(
    found: StoredEvaluation, key: RunKey, dictionary: Dictionary, source: Source, folder: Path
) -> str:
    """The content of the file: the figures, what they are about, what decided them, and the counts of all features."""
    content = {
        "folder": str(folder),
        "dictionary": dictionary.cfg.to_dict(),
        "source": source.config.to_dict(),
        "examples": found.activity.examples,
        "outliers": found.outliers,
        "outlier_limits": dict(found.limits),
        "measures": dict(found.measures),
        "versions": versions(),
        "key": key.to_dict(),
        "times_active": found.activity.times.tolist(),
    }
    return json.dumps(content, indent=1) + "\n"


def read_evaluation(path: Path, key: RunKey) -> tuple[StoredEvaluation | None, str]:
    """Read the figures in a file.

    Returns:
        The figures and an empty string; or None and a sentence that says why they are not valid, which is empty if
        there is no file.
    """
    if not path.is_file():
        return None, ""
    try:
        described = read_json_object(path, fix=AGAIN)
    except (OSError, ValueError) as error:
        return None, str(error)
    if changes := key.changes_since(described.get("key")):
        return None, stale_message(path, changes, AGAIN, "another evaluation")
    found = _figures(described)
    return found, "" if found is not None else f"{path} is damaged. {AGAIN}"


def _figures(described: Mapping[str, Any]) -> StoredEvaluation | None:
    """The figures in a file whose key fits; None if they are damaged."""
    measures, times, limits, cfg, examples, outliers = (
        described.get(name)
        for name in ("measures", "times_active", "outlier_limits", "dictionary", "examples", "outliers")
    )
    if not is_whole_number(examples, least=1) or not is_whole_number(outliers, least=0):
        return None
    if not (isinstance(measures, dict) and isinstance(times, list) and isinstance(limits, dict)):
        return None
    if not isinstance(cfg, dict) or len(times) != cfg.get("d_sae"):
        return None
    if not all(is_whole_number(each, least=0, most=examples) for each in times):
        return None
    if not set(measures) >= NEEDED or not all(is_number(each, float) for each in measures.values()):
        return None
    if set(limits) != set(OutlierLimits().to_metadata()):
        return None
    if not all(each is None or is_number(each, float) for each in limits.values()):
        return None
    return StoredEvaluation(measures, Activity(examples, torch.tensor(times)), outliers, limits)
