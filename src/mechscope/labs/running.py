"""One run of a lab: settings → finished parts → verdicts → report."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import safetensors.torch
import torch

from mechscope.arguments import is_whole_number
from mechscope.labs.claim import check_claims
from mechscope.labs.claims_file import write_claims
from mechscope.labs.index_page import write_index
from mechscope.labs.lab import Budget, Lab, LabRun, Outcome
from mechscope.labs.report import write_report
from mechscope.model.devices import pick_device
from mechscope.results import Result, versions
from mechscope.runs.captured_values import modules_of
from mechscope.runs.key import RunKey
from mechscope.runs.machine import made_on
from mechscope.runs.source_digest import source_digests
from mechscope.runs.workspace import Workspace
from mechscope.storage.files import check_file, check_folder, keeping, write_atomically
from mechscope.storage.folder_lock import hold_folder

HIGHEST_SEED = 2**32 - 1
"""The largest seed that every random generator accepts."""
KEY_NAME = re.compile("[0-9a-f]{16}")
PACKAGES = ("mechscope", "torch", "numpy", "xarray", "plotly", "safetensors", "scikit-learn")


@dataclass(frozen=True)
class Preparation:
    """A run that can begin: everything a user can get wrong has been checked."""

    lab: Lab
    """Which lab."""
    budget: Budget
    """quick or full."""
    seeds: tuple[int, ...]
    """Seeds to run."""
    device: torch.device
    """Where to compute."""
    inputs: Mapping[str, str]
    """What data and models will be read, in words."""
    folder: Path
    """Where the run's files go: OUT/STEP-SLUG/BUDGET-seed-SEED."""
    key: RunKey
    """Everything that decides what the run computes."""


def prepare(
    lab: Lab,
    budget: Budget = "quick",
    seed: int = 0,
    out: str | Path = "runs",
    device: str = "auto",
    *,
    writes: bool = True,
) -> Preparation:
    """Check what was asked for and what is there, before any work begins.

    Args:
        writes: make sure that the run's folder can be written to.

    Raises:
        ValueError: for an unknown budget or device, a device that is not there, an impossible seed, an empty name for
            the folder, or a damaged data file.
        FileNotFoundError: if MECHSCOPE_DATA names a folder that is not there.
        OSError: if the folder for the run, or a file in it, cannot be made or written to.
    """
    seeds = check_request(lab, budget, seed, out)
    chosen = pick_device(device)
    folder = Path(out) / lab.folder_name / f"{budget}-seed-{seed}"
    if writes:
        check_places(folder)
    inputs = lab.inputs()
    key = key_of(lab, budget, seed, chosen.type, inputs)
    return Preparation(lab, budget, seeds, chosen, inputs, folder, key)


def check_request(lab: Lab, budget: Budget, seed: int, out: str | Path) -> tuple[int, ...]:
    """Check the budget, seed and folder of a run, and return its seeds.

    Raises:
        ValueError: for an unknown budget, an impossible seed, or an empty name for the folder of runs.
    """
    if budget not in get_args(Budget):
        raise ValueError(f"budget is one of {', '.join(get_args(Budget))}, not {budget!r}.")
    first = int(seed) if is_whole_number(seed) else -1
    last = first + lab.seeds[budget] - 1
    if first < 0 or last > HIGHEST_SEED:
        many = f" and {lab.seeds[budget] - 1} more" if first >= 0 and lab.seeds[budget] > 1 else ""
        raise ValueError(f"a seed is a whole number from 0 to {HIGHEST_SEED:,}, not {seed!r}{many}.")
    if not str(out).strip():
        raise ValueError("the folder for runs has an empty name: give its name, or '.' for this folder.")
    return tuple(range(first, last + 1))


def check_places(folder: Path) -> None:
    """Make sure that all files of a run can be written to its folder, without leaving anything there.

    Raises:
        OSError: if one cannot, with what to do.
    """
    for inner in (folder, folder / "parts", folder / "figures"):
        check_folder(inner)
    for file in ("report.html", "page.json", "claims.json", "weights.safetensors"):
        check_file(folder / file)
    check_file(folder.parent.parent / "index.html")


def key_of(
    lab: Lab, budget: Budget, seed: int, device_type: str, inputs: Mapping[str, str] | None = None
) -> RunKey:
    """Everything that decides what a run computes.

    Args:
        device_type: "cpu", "cuda" or "mps".
        inputs: what would be read; None asks the lab.
    """
    settings: dict[str, Any] = {
        "lab": lab.slug,
        "config": dataclasses.asdict(lab.configs[budget]),
        "seed": seed,
        "seeds": lab.seeds[budget],
        "device": device_type,
    }
    source = source_digests(*sorted(modules_of(lab.experiment)))
    return RunKey(settings, lab.inputs() if inputs is None else inputs, source)


def run_lab(
    lab: Lab,
    budget: Budget = "quick",
    seed: int = 0,
    out: str | Path = "runs",
    device: str = "auto",
    progress: bool | None = False,
) -> LabRun:
    """Run a lab and write report.html, page.json, claims.json, figures/, weights.safetensors, and OUT/index.html.

    A run that was killed goes on from its finished parts; a finished one is only reported again.

    Args:
        budget: "quick" (a minute or a few) or "full" (several seeds).
        seed: the first seed.
        out: folder for all runs; this one goes to OUT/STEP-SLUG/BUDGET-seed-SEED.
        progress: bars: True, False, or None for "on a terminal".

    Raises:
        ValueError: as `prepare`, before any work begins.
        OSError: likewise.
    """
    return run_prepared(prepare(lab, budget, seed, out, device), progress)


def run_prepared(
    preparation: Preparation, progress: bool | None = False, line: int | None = None, label: str = ""
) -> LabRun:
    """Do the work that `prepare` checked, while no other process works in the same folder.

    Args:
        progress: as for `run_lab`.
        line: the line of the terminal that progress bars go to, for steps that run in parallel.
        label: what progress bars begin with, for steps that run in parallel.

    Raises:
        FolderInUseError: if another process works there, before any work.
        NotKeptError: if a disk is full; what was written before stays, and the same command goes on from it.
    """
    with hold_folder(preparation.folder):
        return run_in_held_folder(preparation, progress, line, label)


def run_in_held_folder(
    preparation: Preparation, progress: bool | None = False, line: int | None = None, label: str = ""
) -> LabRun:
    """`run_prepared`, if the caller or the parent process already holds the folder's lock."""
    lab, folder = preparation.lab, preparation.folder
    workspace = Workspace(
        config=lab.configs[preparation.budget],
        seeds=preparation.seeds,
        device=preparation.device,
        folder=_parts_folder(preparation),
        key=preparation.key,
        progress=progress,
        line=line,
        label=label,
    )
    begun = time.monotonic()
    outcome = lab.experiment(workspace)
    elapsed = time.monotonic() - begun
    if tuple(outcome.measures) != preparation.seeds:
        raise RuntimeError(
            f"{lab.slug} was to run seeds {preparation.seeds} and measured {tuple(outcome.measures)}."
        )
    run = LabRun(
        lab=lab,
        folder=folder,
        budget=preparation.budget,
        seeds=preparation.seeds,
        device=str(preparation.device),
        inputs=preparation.inputs,
        claims=tuple(check_claims(lab.claims, outcome.measures, outcome.not_run)),
        outcome=outcome,
        seconds=elapsed + workspace.reused_seconds,
        reused_seconds=workspace.reused_seconds,
        versions=versions(PACKAGES),
        # An experiment without parts computed everything in this run.
        machines=tuple(sorted(workspace.machines or {made_on(preparation.device)})),
    )
    with keeping(folder):
        _write_data(folder, outcome)
        write_report(run)
        # After all else: whoever finds claims.json finds everything else too.
        write_claims(run, preparation.key)
        # The report links to it.
        write_index(folder.parent.parent)
    return run


def _parts_folder(preparation: Preparation) -> Path:
    """Where this run's parts go; the parts of the latest other run stay beside them, and older ones go.

    So a run with other data, begun because a variable was not set, costs nothing but its own time.
    """
    parts = preparation.folder / "parts"
    own = parts / preparation.key.name
    with keeping(own):
        own.mkdir(parents=True, exist_ok=True)
        os.utime(own)
    of_others = [path for path in parts.iterdir() if path != own and KEY_NAME.fullmatch(path.name)]
    for folder in sorted(of_others, key=lambda path: path.stat().st_mtime)[:-1]:
        shutil.rmtree(folder, ignore_errors=True)
    return own


def _write_data(folder: Path, outcome: Outcome) -> None:
    for figure in outcome.figures:
        data = {name: _result_to_json(result) for name, result in figure.data.items()}
        write_atomically(
            folder / "figures" / f"{figure.name}.json", json.dumps(data, ensure_ascii=False) + "\n"
        )
    if outcome.weights:
        weights = {
            name: tensor.detach().cpu().contiguous().clone() for name, tensor in outcome.weights.items()
        }
        write_atomically(folder / "weights.safetensors", safetensors.torch.save(weights))


def _result_to_json(result: Result) -> dict[str, Any]:
    values = result.values.values.astype(float).ravel().tolist()
    return {
        "title": result.title,
        "unit": result.unit,
        "dims": list(map(str, result.values.dims)),
        "shape": list(result.values.shape),
        "coords": {str(dim): result.values.coords[dim].values.tolist() for dim in result.values.dims},
        "provenance": dataclasses.asdict(result.provenance),
        "values": [float(f"{value:.6g}") if math.isfinite(value) else None for value in values],
    }
