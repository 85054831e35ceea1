"""Run a job in a folder: check it before any work, start or resume it, and write the results."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mechscope.dictionaries.building import build
from mechscope.dictionaries.config import DictionaryConfig
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.dictionaries.distributed.ranks import ALONE, Ranks
from mechscope.dictionaries.distributed.split_stream import SplitStream
from mechscope.dictionaries.jobs.job import TrainingJob
from mechscope.dictionaries.sources.opening import Source, open_source
from mechscope.dictionaries.stream import Stream
from mechscope.dictionaries.training import TrainingRun, describe_run, train
from mechscope.dictionaries.training_checkpoint import NAME as CHECKPOINT
from mechscope.dictionaries.training_checkpoint import steps_done
from mechscope.reading import read_json_object
from mechscope.runs.config_diff import config_diff
from mechscope.storage.files import check_file, check_folder, keeping, write_atomically
from mechscope.storage.folder_lock import hold_folder

JOB = "job.json"
"""The file that records which job a folder belongs to."""
HISTORY = "history.safetensors"
"""Measures of training batches."""


@dataclass(frozen=True)
class PreparedJob:
    """A job that is ready to run, after checking everything that a user can get wrong."""

    job: TrainingJob
    """The job, with every d_in filled in."""
    source: Source
    """Where activations come from."""
    dictionaries: Mapping[str, Dictionary]
    """The dictionaries, untrained."""
    stream: Stream
    """The stream they are trained on."""
    folder: Path
    """The folder of all files."""
    ranks: Ranks
    """The participating processes."""
    done: int
    """Number of steps completed by an existing checkpoint."""


def prepare_job(
    job: TrainingJob, folder: Path, device: torch.device, *, ranks: Ranks = ALONE, split: bool = False
) -> PreparedJob:
    """Open the source, build the dictionaries, read the first activations. Writes nothing.

    Args:
        ranks: the processes among which features are divided; all of them make this call.
        split: with several ranks, let each read only its part of the activations.

    Raises:
        ValueError: for dictionaries that do not fit the source, a folder of another job or of other weights or text,
            activations that are not finite, and whatever the source's checks say.
        KeyError: for unknown names.
        OSError: for a folder that cannot be written to.
    """
    check_places(job, folder)
    kept = folder / JOB
    if not kept.is_file() and (folder / CHECKPOINT).is_file():
        raise ValueError(
            f"{folder} has a {CHECKPOINT} but no {JOB}, so its training run is unknown: give another folder."
        )
    source = open_source(job.source, device)
    configs = job.configs(source.d_in, source.d_out)
    settings = {name: config.to_dict() for name, config in configs.items()}
    job = dataclasses.replace(job, dictionaries=settings)
    if kept.exists():
        _check_same(kept, job)
    dictionaries: dict[str, Dictionary] = {}
    for name, config in configs.items():
        dictionaries[name] = _built(name, config, job.training.seed, ranks, device)
        dictionaries[name].metadata.update(source.metadata())
    stream = source.stream(job.training.seed)
    if split and not ranks.alone:
        stream = SplitStream(stream, ranks)
    # Reads the first buffer, and with it whether activations are finite.
    stream.peek(1)
    done = steps_done(folder, describe_run(dictionaries, stream, job.training))
    return PreparedJob(job, source, dictionaries, stream, folder, ranks, done)


def check_places(job: TrainingJob, folder: Path) -> None:
    """Make sure that all files of a job can be written to its folder, without leaving anything there.

    Raises:
        OSError: if one cannot, with what to do.
    """
    for file in (JOB, CHECKPOINT, HISTORY):
        check_file(folder / file)
    for name in job.dictionaries:
        check_folder(folder / name)


def _built(name: str, config: DictionaryConfig, seed: int, ranks: Ranks, device: torch.device) -> Dictionary:
    try:
        return build(config, seed, ranks=ranks).to(device)
    except RuntimeError as error:
        # torch's message about its allocator is too technical to come first.
        gibibytes = 4 * config.d_sae * (config.d_in + config.width_out) / ranks.size / 2**30
        raise ValueError(
            f"the dictionary {name!r} could not be built: its {config.d_sae:,} features take {gibibytes:,.1f} GiB of "
            f"memory, and four times as much in training. Lower d_sae. ({str(error).splitlines()[0]})"
        ) from error


def run_job(prepared: PreparedJob, progress: bool | None = None) -> TrainingRun:
    """Train, resuming from a checkpoint if there is one; saves each dictionary in a folder with its name.

    Raises:
        FolderInUseError: if another process uses the folder, before any step.
        FloatingPointError: if a loss is no longer finite.
        NotKeptError: if the results cannot be written.
    """
    with hold_folder(prepared.folder) if prepared.ranks.first else nullcontext():
        return _run_in_held_folder(prepared, progress)


def _run_in_held_folder(prepared: PreparedJob, progress: bool | None) -> TrainingRun:
    # Wait until all ranks have checked the folder before the first one writes to it.
    prepared.ranks.wait()
    if prepared.ranks.first:
        with keeping(prepared.folder / JOB):
            write_atomically(prepared.folder / JOB, prepared.job.to_json())
    run = train(
        prepared.dictionaries,
        prepared.stream,
        prepared.job.training,
        folder=prepared.folder,
        progress=progress,
        ranks=prepared.ranks,
    )
    if prepared.ranks.first:
        with keeping(prepared.folder / HISTORY):
            run.history.save(prepared.folder / HISTORY)
    return run


def _check_same(path: Path, job: TrainingJob) -> None:
    there = read_json_object(path, fix="Give another folder, or remove it.")
    here = json.loads(job.to_json())
    if there != here:
        differ = "; ".join(config_diff(there, here, "there", "here", show=_shortly, missing="missing"))
        raise ValueError(
            f"{path.parent} belongs to another training run: {differ}. Choose another folder, or remove this "
            "one to start over."
        )


def _shortly(value: Any) -> str:
    if isinstance(value, Mapping):
        return "there" if "architecture" not in value else f"a {value['architecture']} dictionary"
    return str(value)
