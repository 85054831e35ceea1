"""Find and open the requested checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import torch

from mechscope.checkpoints import hub, registry
from mechscope.checkpoints.checkpoint import (
    Checkpoint,
    GivenConfig,
    open_file,
    open_folder,
    open_in_memory,
    open_state,
)
from mechscope.checkpoints.gguf_file import gguf_files
from mechscope.checkpoints.packaged_models import PACKAGED, packaged_file
from mechscope.checkpoints.schedules import find_step, schedule_in, schedule_of
from mechscope.reading import check_name

_TOY_MODELS = (
    "{0} is a collection of toy models, not a transformer: mechscope.load_toy_models({0!r}) loads it."
)


@dataclass(frozen=True)
class Wanted:
    """The requested version of a repository; by default the newest."""

    revision: str | None = None
    checkpoint_index: int | None = None
    checkpoint_value: int | None = None

    @property
    def of_training(self) -> bool:
        """Whether an intermediate training checkpoint is requested."""
        return self.checkpoint_index is not None or self.checkpoint_value is not None


@dataclass(frozen=True)
class Found:
    """An opened checkpoint, its display name, and which training checkpoint it is."""

    checkpoint: Checkpoint
    name: str
    labels: Mapping[str, int] = field(default_factory=dict[str, int])


def find(source: object, wanted: Wanted, cfg: GivenConfig = None) -> Found:
    """Open a name, a path, a state dict or a Hugging Face model in memory.

    A file or folder on this machine takes precedence over a model name, but a folder that happens to
    have a model's name counts only if it contains a model.

    Raises:
        ValueError: for an unknown name, or a version that does not exist.
        FileNotFoundError: if the files cannot be found or downloaded.
        TypeError: for anything else.
    """
    path = Path(source).expanduser() if isinstance(source, str | Path) else None
    if path is not None:
        check_name(path)
    name = source if isinstance(source, str) else str(path)
    if path is not None and not _is_local_model(path, name):
        return _find_by_name(name, wanted, cfg)
    if wanted != Wanted():
        raise ValueError("revision and checkpoint_… apply to models given by name, not to files.")
    if path is not None and path.is_dir():
        if (path / registry.TOY_MODELS_FILE).is_file():
            raise ValueError(_TOY_MODELS.format(name))
        return Found(open_folder(path, cfg), path.resolve().name)
    if path is not None:
        return Found(open_file(path, cfg), path.stem)
    if isinstance(source, Mapping):
        checkpoint = open_state(cast("Mapping[str, torch.Tensor]", source), cfg)
    elif hasattr(source, "state_dict") and hasattr(getattr(source, "config", None), "to_dict"):
        checkpoint = open_in_memory(source)
    else:
        raise TypeError(
            "load_model takes a name, a path, a state dict or a Hugging Face model, "
            f"not a {type(source).__name__}."
        )
    return Found(checkpoint, checkpoint.cfg.model_name)


def _is_local_model(path: Path, name: str) -> bool:
    known = (
        registry.lookup(name) is not None
        or name in registry.bundled_names()
        or name in registry.toy_model_names()
        or name.lower() in PACKAGED
    )
    if known and path.is_dir():
        return (path / "config.json").is_file() or bool(gguf_files(path))
    return path.exists()


def _find_by_name(name: str, wanted: Wanted, cfg: GivenConfig) -> Found:
    if name in registry.bundled_names():
        return _find_bundled(name, wanted, cfg)
    if name in registry.toy_model_names():
        raise ValueError(_TOY_MODELS.format(name))
    if (packaged := PACKAGED.get(name.lower())) is not None:
        if wanted != Wanted():
            raise ValueError(f"{packaged.name} comes in one version; leave revision and checkpoint_… out.")
        return Found(open_file(packaged_file(packaged), cfg), packaged.name)
    entry = registry.lookup(name)
    if entry is None and (folder := hub.in_data_folder(name)) is not None:
        return Found(open_folder(folder, cfg), name)
    if entry is None and not _is_hub_id(name):
        near = registry.nearest_names(name)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise ValueError(
            f"there is no model, folder or file named {name!r}.{hint} `mechscope models` lists the names "
            "(image models and agents are loaded by load_subject); a repository on the Hugging Face hub is written "
            "owner/name."
        )
    hub_id, shown = (entry.hub_id, entry.name) if entry else (name, name)
    revision, weights, labels = _version(hub_id, shown, wanted)
    folder = hub.locate(shown, hub_id, revision=revision, weights=weights)
    return Found(open_folder(folder, cfg, weights), shown, labels)


def _find_bundled(name: str, wanted: Wanted, cfg: GivenConfig) -> Found:
    folder = registry.BUNDLED / name
    if wanted.revision is not None:
        raise ValueError(f"{name} comes with mechscope and has no revisions; leave revision out.")
    if not wanted.of_training:
        return Found(open_folder(folder, cfg), name)
    schedule = schedule_in(folder)
    if schedule is None:
        with_some = [other for other in registry.bundled_names() if schedule_in(registry.BUNDLED / other)]
        raise ValueError(
            f"{name} has only its final weights; bundled models with training checkpoints: "
            f"{', '.join(with_some) or 'none'}."
        )
    index, step = find_step(schedule, name, wanted.checkpoint_index, wanted.checkpoint_value)
    opened = open_folder(folder, cfg, schedule.revision.format(step))
    return Found(opened, name, {"checkpoint_index": index, "checkpoint_value": step})


def _version(hub_id: str, shown: str, wanted: Wanted) -> tuple[str | None, str | None, dict[str, int]]:
    """The repository's revision, a regular expression for the weights file, and the labels for the config."""
    if not wanted.of_training:
        return wanted.revision, None, {}
    if wanted.revision is not None:
        raise ValueError("give a revision or a training checkpoint, not both.")
    schedule = schedule_of(hub_id)
    if schedule is not None:
        index, step = find_step(schedule, shown, wanted.checkpoint_index, wanted.checkpoint_value)
        return schedule.revision.format(step), None, {"checkpoint_index": index, "checkpoint_value": step}
    if hub_id.startswith("NeelNanda/") and wanted.checkpoint_value is not None:
        # The toy models store their checkpoints as files, named by the tokens or steps seen.
        value = wanted.checkpoint_value
        return None, rf"^checkpoints/.*_0*{value}\.pth$", {"checkpoint_value": value}
    raise ValueError(f"{shown} has no known schedule of training checkpoints; give a revision instead.")


def _is_hub_id(name: str) -> bool:
    owner, slash, repository = name.partition("/")
    return bool(slash and owner and repository) and "/" not in repository and not owner.startswith((".", "~"))
