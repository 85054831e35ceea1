"""Make a model from a recipe: train, write, read back, measure, check the conditions, write the card."""

from __future__ import annotations

import dataclasses
import json
import shutil
import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from mechscope.checkpoints.legacy import without_buffers
from mechscope.checkpoints.schedules import OWN_FILE
from mechscope.labs.claim import Condition
from mechscope.model.devices import pick_device
from mechscope.recipes.recipe import Made, Recipe
from mechscope.results import versions
from mechscope.runs.captured_values import modules_of
from mechscope.runs.key import RunKey
from mechscope.runs.source_digest import source_digests
from mechscope.runs.workspace import Workspace
from mechscope.storage.files import check_folder, keeping, replacing_folder, write_atomically
from mechscope.storage.folder_lock import hold_folder

OWN_WORDS = ("name", "command", "parameters", "shape", "python", "torch", "made_on")
"""Placeholders that every card may use and no recipe has to fill."""
PACKAGES = ("mechscope", "torch", "numpy", "tokenizers")


class MissedConditionsError(RuntimeError):
    """A trained model does not satisfy its recipe's conditions."""


@dataclass(frozen=True)
class Judged:
    """One condition on a figure, and its outcome."""

    condition: Condition
    """The condition."""
    measured: float
    """The measured figure."""
    held: bool
    """Whether it satisfies the condition."""


def make(
    recipe: Recipe,
    folder: str | Path,
    *,
    work: str | Path,
    device: str = "auto",
    progress: bool | None = False,
) -> Path:
    """Make a bundled model: a folder with weights (float16), config, tokenizer, checkpoints, card and figures.

    An interrupted call resumes where it stopped if it is repeated with the same `work`.

    Args:
        folder: where to put the model once it has passed; an existing model is replaced.
        work: where to save finished and unfinished parts.
        device: where to train; figures are measured on the CPU.
        progress: whether to show progress bars; None means only on a terminal.

    Raises:
        FileNotFoundError: if something that the recipe needs is missing on this machine; raised before any work.
        OSError: if `folder` holds something other than a model of ours, or cannot be written to, before any
            work.
        FolderInUseError: if another process uses `work`, before any work.
        NotKeptError: if a disk is full; finished parts are kept in `work`.
        ValueError: for a device that is not there, or a card with a placeholder that nothing fills.
        MissedConditionsError: if the model fails a condition; it is then left in `work` for inspection.
    """
    folder, work = Path(folder), Path(work)
    chosen = prepare(recipe, folder, device, work=work)
    with hold_folder(work):
        return _make(recipe, folder, work, chosen, progress)


def _make(recipe: Recipe, folder: Path, work: Path, device: torch.device, progress: bool | None) -> Path:
    workspace = Workspace(
        config=recipe.config,
        seeds=(recipe.seed,),
        device=device,
        folder=work / "parts",
        key=key_of(recipe, device),
        progress=progress,
    )
    made = recipe.train(workspace)
    with keeping(work / "model"):
        staged = recipe.store.save(made.model, work / "model")
    _write_kept(staged, made)
    figures = measure(recipe, staged)
    judged = judge(recipe, figures)
    write_atomically(staged / "figures.json", _figures_file(recipe, made, figures, judged, workspace))
    missed = [one for one in judged if not one.held]
    if missed:
        listed = "; ".join(
            f"{one.condition.what} should be {one.condition.wanted}, was {one.measured:.4g}" for one in missed
        )
        raise MissedConditionsError(f"{recipe.name} did not come out: {listed}. The model is in {staged}.")
    write_atomically(staged / "card.md", fill_card(recipe, made, _as_written(figures)))
    return _put_in_place(staged, folder)


def prepare(
    recipe: Recipe, folder: str | Path, device: str = "auto", *, work: str | Path | None = None
) -> torch.device:
    """Check the arguments and the requirements before any work; returns the device to train on.

    Raises:
        As `make`, before any work.
    """
    chosen = pick_device(device)
    folder = Path(folder)
    if not folder.name:
        raise ValueError(f"{str(folder)!r} is not the name of a folder for a model.")
    if (reason := recipe.missing()) is not None:
        raise FileNotFoundError(f"{recipe.name} cannot be made here: {reason}")
    for place in (folder, *([] if work is None else [Path(work) / "model"])):
        if place.exists() and not recipe.store.is_own(place):
            raise FileExistsError(
                f"{str(place)!r} exists and is not a model written by mechscope: choose another folder."
            )
        # A model is written to a temporary folder next to it and then renamed.
        check_folder(place.parent)
    if work is not None:
        check_folder(Path(work) / "parts")
    return chosen


def key_of(recipe: Recipe, device: torch.device) -> RunKey:
    """Everything that determines the result of a training."""
    settings = {
        "recipe": recipe.name,
        "config": dataclasses.asdict(recipe.config),
        "seed": recipe.seed,
        "device": device.type,
    }
    plain = json.loads(json.dumps(settings, default=str))
    return RunKey(plain, source=source_digests(*sorted(modules_of(recipe.train))))


def measure(recipe: Recipe, folder: str | Path) -> dict[str, float]:
    """The figures of a saved model, computed on the CPU with its stored weights."""
    model = recipe.store.load(Path(folder))
    return {name: float(value) for name, value in recipe.measure(model).items()}


def judge(recipe: Recipe, figures: Mapping[str, float]) -> tuple[Judged, ...]:
    """Every condition of a recipe on measured figures.

    Raises:
        ValueError: for a recipe without conditions, which any model would pass.
        KeyError: for a condition on a figure that was not measured.
    """
    if not recipe.conditions:
        raise ValueError(f"the recipe {recipe.name} has no condition: any weights at all would pass.")
    return tuple(
        Judged(condition, figures.get(condition.measure, float("nan")), condition.holds(figures))
        for condition in recipe.conditions
    )


def fill_card(recipe: Recipe, made: Made, figures: Mapping[str, float]) -> str:
    """Fill in the card's template.

    Raises:
        ValueError: for a placeholder without a figure or word, or a name that is both.
    """
    own = _own_words(recipe, made)
    if twice := sorted({*figures} & {*made.words} | {*own} & ({*figures} | {*made.words})):
        raise ValueError(f"the card of {recipe.name} has two values for {', '.join(twice)}.")
    values: dict[str, Any] = {**own, **made.words, **figures}
    wanted = {field for _, field, _, _ in string.Formatter().parse(recipe.card) if field is not None}
    if unfilled := sorted(wanted - {*values}):
        raise ValueError(f"the card of {recipe.name} has nothing for {', '.join(unfilled)}.")
    return recipe.card.format(**values)


def _own_words(recipe: Recipe, made: Made) -> dict[str, str]:
    there = versions(PACKAGES)
    return {
        **recipe.store.words(made.model),
        "name": recipe.name,
        "command": f"mechscope models train {recipe.name}",
        "python": there["python"],
        "torch": there.get("torch", torch.__version__),
        "made_on": f"Python {there['python']}, torch {there.get('torch', torch.__version__)}",
    }


def _write_kept(staged: Path, made: Made) -> None:
    if not made.kept:
        return
    final = without_buffers(made.model.state_dict())
    last = without_buffers(made.kept[max(made.kept)])
    if {*last} != {*final} or not all(torch.equal(last[name].cpu(), final[name].cpu()) for name in final):
        raise ValueError(f"the last checkpoint kept, step {max(made.kept)}, is not the model itself.")
    for step, state in made.kept.items():
        write_atomically(staged / OWN_FILE.format(step), safetensors.torch.save(_half(state)))


def _half(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: tensor.detach().to("cpu", torch.float16).contiguous().clone()
        for name, tensor in without_buffers(state).items()
    }


def _figures_file(
    recipe: Recipe,
    made: Made,
    figures: Mapping[str, float],
    judged: tuple[Judged, ...],
    workspace: Workspace,
) -> str:
    written: dict[str, Any] = {
        "recipe": recipe.name,
        "command": f"mechscope models train {recipe.name}",
        "seed": recipe.seed,
        "config": dataclasses.asdict(recipe.config),
        "figures": _as_written(figures),
        "conditions": [
            {
                "what": one.condition.what,
                "wanted": one.condition.wanted,
                "measured": float(f"{one.measured:.6g}"),
                "held": one.held,
            }
            for one in judged
        ],
        "words": {**_own_words(recipe, made), **made.words},
        "checkpoints": sorted(made.kept),
        "device": workspace.device.type,
        "seconds": round(workspace.seconds, 1),
        "versions": versions(PACKAGES),
    }
    return json.dumps(written, indent=1, ensure_ascii=False, default=str) + "\n"


def _as_written(figures: Mapping[str, float]) -> dict[str, float]:
    """Round to six digits, which other processors can reproduce; the card rounds further."""
    return {name: float(f"{value:.6g}") for name, value in figures.items()}


def _put_in_place(staged: Path, folder: Path) -> Path:
    # Copied, because the work folder may be on another disk, and renaming works only within a disk.
    with replacing_folder(folder) as new:
        shutil.copytree(staged, new, dirs_exist_ok=True)
    return folder
