"""A training run as data: where activations come from, which dictionaries are trained on them, and how."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mechscope.dictionaries.config import DictionaryConfig, config_from_dict
from mechscope.dictionaries.sources.config import SourceConfig
from mechscope.dictionaries.training_config import TrainingConfig
from mechscope.reading import naming, read_json_object
from mechscope.settings import Settings, decode

HOW_TO_MAKE_ONE = "`--print-config` prints settings as they should be."


@dataclass(frozen=True, kw_only=True)
class TrainingJob(Settings):
    """Everything that determines the result of a training run. Its seed is `training.seed`."""

    source: SourceConfig
    """Where activations come from."""
    dictionaries: Mapping[str, Mapping[str, Any]]
    """A dictionary's name → its settings. d_in may be missing, because the hook point determines it."""
    training: TrainingConfig
    """How to train them, all on the same batches."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.dictionaries:
            raise ValueError("name at least one dictionary to train.")
        for name in self.dictionaries:
            if not name or "/" in name or name.startswith("."):
                raise ValueError(
                    f"{name!r} cannot be a dictionary's name, which becomes the name of a folder."
                )
        self.configs(None, None)

    def configs(self, d_in: int | None, d_out: int | None) -> dict[str, DictionaryConfig]:
        """The dictionaries' configs for activations of this width.

        Args:
            d_in: input width; None if it is not known yet, in which case only the other settings are checked.
            d_out: output width of a transcoder.

        Raises:
            ValueError: for unknown or invalid settings, and for a d_in that does not fit.
        """
        return {name: self._config(name, d_in, d_out) for name in self.dictionaries}

    def _config(self, name: str, d_in: int | None, d_out: int | None) -> DictionaryConfig:
        settings = dict(self.dictionaries[name])
        layers = len(self.source.hook)
        wanted = settings.get("d_in")
        if None not in (wanted, d_in) and wanted != d_in:
            where = " + ".join(self.source.hook) or self.source.synthetic
            raise ValueError(
                f"the dictionary {name!r} reads width d_in = {wanted}, but activations of {where} have width {d_in}."
            )
        settings["d_in"] = d_in or wanted or max(1, layers)
        if self.source.target_hook:
            settings["subtract_b_dec"] = settings.get("subtract_b_dec", False)
            settings["d_out"] = d_out or settings.get("d_out") or settings["d_in"]
        if settings.get("architecture") == "crosscoder":
            if layers < 2:
                raise ValueError("a crosscoder reads several layers: give two or more hook points.")
            settings.setdefault("n_layers", layers)
        try:
            return config_from_dict(settings)
        except ValueError as error:
            raise ValueError(f"the dictionary {name!r}: {error}") from error

    def to_json(self) -> str:
        """What `--print-config` prints and `--config` reads."""
        return json.dumps(self.to_dict(), indent=2) + "\n"


def job_from_dict(settings: Mapping[str, Any]) -> TrainingJob:
    """Restore the job that `to_dict` describes.

    Raises:
        ValueError: for unknown settings (suggests the closest names), and for missing or invalid ones.
    """
    return decode(TrainingJob, settings, "a training's config")


def read_job(path: Path) -> TrainingJob:
    """The job in a JSON file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not JSON, or as `job_from_dict`; the error names the file.
    """
    with naming(path):
        return job_from_dict(read_json_object(path, fix=HOW_TO_MAKE_ONE))
