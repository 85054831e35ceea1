"""The models of this machine, of which a few at a time are in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

from mechscope.checkpoints.hub import find_on_this_machine, in_data_folder, weight_files
from mechscope.checkpoints.listing import TOY_MODELS, WHERE, list_models
from mechscope.checkpoints.registry import nearest_names
from mechscope.pages.endpoints import RefusedError, refused_as
from mechscope.storage.folders import data_folder
from mechscope.web.models.messages import MachineModel

MOST_LOADED = 2
"""How many models may be in memory at once."""
NOT_HERE = ("hub", "package")


class ModelShelf:
    """Loads models by name, if they are on this machine, and keeps the most recently used ones.

    Args:
        most: how many.
    """

    def __init__(self, most: int = MOST_LOADED) -> None:
        self.most = most
        self._loaded: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()

    def models(self) -> list[MachineModel]:
        """Models on this machine and those that `mechscope models get` fetches. Downloads nothing."""
        found: dict[str, MachineModel] = {}
        for each in list_models():
            if each.family != TOY_MODELS and each.where != "hub":
                found[each.name] = self._entry(each.name, each.where, each.megabytes)
        for name, where in _others():
            if name not in found:
                found[name] = self._entry(name, where, _megabytes(name))
        return list(found.values())

    def get(self, name: str) -> Any:
        """A model, loaded now if it is not in memory; the one that was not used for the longest time makes room.

        Raises:
            RefusedError: for an unknown name (404), or a model that is not on this machine, does not fit into memory,
                or is not one that the microscope can show (409).
        """
        with self._lock:
            if name not in self._loaded:
                with refused_as(409):
                    self._check_here(name)
                while len(self._loaded) >= self.most:
                    self._loaded.popitem(last=False)
                self._loaded[name] = _load(name)
            self._loaded.move_to_end(name)
            return self._loaded[name]

    def _check_here(self, name: str) -> None:
        known = {model.name: model for model in self.models()}
        if name not in known:
            if any(each.name == name for each in list_models()):
                raise RefusedError(
                    409,
                    f"{name} is not on this machine. Load it once in Python with a network: "
                    f"mechscope.load_model({name!r}); then open it here.",
                )
            near = [each for each in nearest_names(name) if each in known]
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            raise RefusedError(404, f"This machine has no model {name!r}.{hint}")
        if not known[name].is_here:
            raise RefusedError(
                409, f"{name} is not on this machine: `mechscope models get {name}` fetches it."
            )

    def _entry(self, name: str, where: str, megabytes: float | None) -> MachineModel:
        return MachineModel(
            name=name,
            where=WHERE[where].replace("NAME", name),
            megabytes=megabytes,
            is_here=where not in NOT_HERE,
            is_loaded=name in self._loaded,
        )


def _load(name: str) -> Any:
    from mechscope.checkpoints.load import load_model
    from mechscope.model.encoder import HookedEncoder

    try:
        model = load_model(name)
    except (ValueError, OSError) as error:  # also too little memory, with how much is needed
        raise RefusedError(409, f"{name} cannot be opened: {error}") from error
    if isinstance(model, HookedEncoder):
        raise RefusedError(
            409, f"{name} is an encoder; the microscope shows models that predict the next token."
        )
    return model


def _others() -> list[tuple[str, str]]:
    """Models that the table does not name: (name, where) of folders in MECHSCOPE_DATA and repositories in the cache."""
    from huggingface_hub import scan_cache_dir  # pyright: ignore[reportUnknownVariableType]
    from huggingface_hub.errors import CacheNotFound

    found: list[tuple[str, str]] = []
    if (data := data_folder()) is not None:
        folders = [*data.iterdir(), *((data / "models").iterdir() if (data / "models").is_dir() else ())]
        names = sorted({folder.name for folder in folders if folder.is_dir()})
        found += [(name, "data folder") for name in names if in_data_folder(name)]
    try:
        repositories = scan_cache_dir().repos
    except (CacheNotFound, OSError, ValueError):
        return found
    names = sorted(each.repo_id for each in repositories if each.repo_type == "model")
    return found + [(name, "cache") for name in names if find_on_this_machine(name, name)[0] == "cache"]


def _megabytes(name: str) -> float | None:
    _, folder = find_on_this_machine(name, name)
    return None if folder is None else sum(file.stat().st_size for file in weight_files(folder)) / 1e6
