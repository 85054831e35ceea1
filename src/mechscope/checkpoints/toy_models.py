"""Load and save collections of trained toy models.

A collection is a folder of two files. `toy_models.json` has the settings of every group; importances that are the same
for every setting are written once. `model.safetensors` has the float16 weights `NAME.W`, `NAME.b` and, unless it is
tied to W, `NAME.W_out`, and the losses `NAME.loss`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from mechscope.arguments import check_kinds
from mechscope.checkpoints import registry
from mechscope.checkpoints.toy_networks import Group, ToyModels, TrainedGroup
from mechscope.checkpoints.weights_file import SafetensorsSource
from mechscope.model.state_dict_check import check_state_dict, check_weights
from mechscope.near_names import did_you_mean
from mechscope.reading import read_json_object
from mechscope.storage.files import write_atomically
from mechscope.subjects.bundled_folders import subject_names

BUNDLED = "superposition-instances"
"""The collection that comes with mechscope."""
WEIGHTS = "model.safetensors"
FORMAT, VERSION = "mechscope toy models", 1


@dataclass(frozen=True)
class ToyCollection(Mapping[str, TrainedGroup]):
    """Groups of trained toy models by name.

    >>> models = load_toy_models()
    >>> models["intro"].at(0.05).W.shape  # one network: setting, start, hidden, feature
    torch.Size([1, 1, 2, 5])
    """

    groups: Mapping[str, TrainedGroup]
    """The groups by name."""

    def __getitem__(self, name: str) -> TrainedGroup:
        if name not in self.groups:
            hint = did_you_mean(name, self.groups)
            raise KeyError(f"there is no group {name!r}.{hint} The groups are {', '.join(self.groups)}.")
        return self.groups[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.groups)

    def __len__(self) -> int:
        return len(self.groups)

    @property
    def n_networks(self) -> int:
        """Total number of networks."""
        return sum(group.loss.numel() for group in self.groups.values())

    @property
    def n_parameters(self) -> int:
        """Total number of parameters; tied weights count once."""
        return sum(
            tensor.numel() for group in self.groups.values() for tensor in group.models.parameters().values()
        )

    def __repr__(self) -> str:
        return f"<{self.n_networks:,} toy models in {len(self)} groups: {', '.join(self)}>"


def save_toy_models(collection: ToyCollection, folder: str | Path) -> Path:
    """Write a collection, with float16 weights, to a folder that `load_toy_models` can read.

    Raises:
        FileExistsError: if the folder contains something else.
        ValueError: if a weight is not finite in float16.
    """
    folder = Path(folder)
    if folder.exists() and not is_toy_folder(folder):
        raise FileExistsError(f"{str(folder)!r} exists but contains no toy models; choose another folder.")
    tensors: dict[str, Tensor] = {}
    for name, group in collection.items():
        tensors |= {f"{name}.{key}": value.half() for key, value in group.models.parameters().items()}
        tensors[f"{name}.loss"] = group.loss.float()
    broken = [name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())]
    if broken:
        raise ValueError(f"{', '.join(broken)}: not finite in float16, so nothing was saved.")
    described = {
        "format": FORMAT,
        "format_version": VERSION,
        "groups": {name: _described(group.group) for name, group in collection.items()},
    }
    whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    write_atomically(folder / WEIGHTS, safetensors.torch.save(whole))
    write_atomically(folder / registry.TOY_MODELS_FILE, json.dumps(described, indent=1) + "\n")
    return folder


def load_toy_models(name_or_path: str | Path = BUNDLED) -> ToyCollection:
    """Load trained toy models of superposition: for each group its settings, weights (float32) and losses.

    Args:
        name_or_path: a bundled collection, or a folder that `mechscope models train` or `save_toy_models` wrote.

    Raises:
        ValueError: for an unknown name (suggests the closest ones, or the function that loads it), or for files that
            do not match each other.
        FileNotFoundError: for a folder without toy models.

    >>> models = load_toy_models()
    >>> len(models), models.n_networks
    (11, 485)
    """
    path, name = Path(name_or_path).expanduser(), str(name_or_path)
    if name in registry.toy_model_names() and not (path / registry.TOY_MODELS_FILE).is_file():
        path = registry.BUNDLED / name
    elif not path.is_dir():
        raise ValueError(f"there is no collection of toy models and no folder {name!r}.{_instead(name)}")
    settings = path / registry.TOY_MODELS_FILE
    if not settings.exists():
        raise FileNotFoundError(
            f"{str(path)!r} contains no toy models: {settings.name} is missing.{_instead(path.name)}"
        )
    if not (path / WEIGHTS).exists():
        raise FileNotFoundError(f"{str(path)!r} contains no weights: {WEIGHTS} is missing.")
    groups = _read_settings(settings)
    source = SafetensorsSource([path / WEIGHTS], str(path / WEIGHTS))
    _check(groups, source)
    check_weights(((name, source.get(name)) for name in source.names()), repr(source.where))
    return ToyCollection({name: _read_group(name, group, source) for name, group in groups.items()})


def is_toy_folder(folder: Path) -> bool:
    """Whether `save_toy_models` may write here: the folder contains toy models or nothing."""
    try:
        return read_json_object(folder / registry.TOY_MODELS_FILE).get("format") == FORMAT
    except (OSError, ValueError):
        return folder.is_dir() and not any(folder.iterdir())


def _instead(name: str) -> str:
    """The end of an error message: the function that loads this name, or similar names."""
    if name in registry.bundled_names() or registry.lookup(name) is not None:
        return f" {name} is a transformer: mechscope.load_model({name!r}) loads it."
    if name in subject_names():
        return f" {name} is an image model or an agent: mechscope.load_subject({name!r}) loads it."
    known = registry.toy_model_names()
    return did_you_mean(name, known) or f" Bundled: {', '.join(known) or 'none'}."


def _described(group: Group) -> dict[str, Any]:
    fields = dataclasses.asdict(group)
    if len({*group.importance}) == 1:
        fields["importance"] = group.importance[:1]
    return fields


def _read_settings(path: Path) -> dict[str, Group]:
    described = read_json_object(path)
    try:
        if described["format"] != FORMAT or described["format_version"] > VERSION:
            raise ValueError(
                f"it is “{described['format']}” version {described['format_version']}; this mechscope reads "
                f"“{FORMAT}” up to version {VERSION}"
            )
        return {name: _group(fields) for name, fields in described["groups"].items()}
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ValueError(f"{str(path)!r} does not describe toy models: {error}.") from error


def _group(fields: dict[str, Any]) -> Group:
    density = tuple(map(float, fields["density"]))
    rows = tuple(tuple(map(float, row)) for row in fields["importance"])
    rows = rows * len(density) if len(rows) == 1 else rows
    others = {name: value for name, value in fields.items() if name not in ("density", "importance")}
    check_kinds(Group, {"density": density, "importance": rows, **others})
    if min(others.get("n_features", 1), others.get("n_hidden", 1)) < 1:
        raise ValueError("a group needs at least one feature and one hidden dimension")
    return Group(density=density, importance=rows, **others)


def _check(groups: Mapping[str, Group], source: SafetensorsSource) -> None:
    present = {*source.names()}
    expected: dict[str, tuple[int, ...]] = {}
    for name, group in groups.items():
        losses = f"{name}.loss"
        # Only the shapes say how many starts were kept.
        starts = source.shape(losses)[1:] if losses in present else ()
        stack = (len(group.density), *starts)
        shape = (*stack, group.n_hidden, group.n_features)
        expected |= {losses: stack, f"{name}.b": (*stack, group.n_features), f"{name}.W": shape}
        if group.model == "untied":
            expected[f"{name}.W_out"] = shape
    found = {name: source.shape(name) for name in source.names()}
    check_state_dict(found, expected, what=f"the tensors of {source.where!r}")


def _read_group(name: str, group: Group, source: SafetensorsSource) -> TrainedGroup:
    W = source.get(f"{name}.W").float()
    W_out = source.get(f"{name}.W_out").float() if group.model == "untied" else W
    models = ToyModels(group.model, W, W_out, source.get(f"{name}.b").float())
    return TrainedGroup(group, models, source.get(f"{name}.loss"))
