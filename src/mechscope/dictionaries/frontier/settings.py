"""Settings of a sweep. Does not load torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mechscope.dictionaries.config import Size, config_from_dict
from mechscope.dictionaries.jobs.choices import CHOICES, dictionary_settings
from mechscope.dictionaries.jobs.job import HOW_TO_MAKE_ONE
from mechscope.dictionaries.sources.config import SourceConfig
from mechscope.dictionaries.training_config import TrainingConfig
from mechscope.reading import naming, read_json_object
from mechscope.settings import NonNegativeInt, PositiveFloat, Settings, decode


@dataclass(frozen=True, kw_only=True)
class Contender(Settings):
    """An architecture and the sparsities at which it is trained."""

    architecture: str
    """The architecture's name."""
    sparsities: tuple[float, ...]
    """Values of k, l1 or l0, whichever controls its sparsity."""
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Settings that differ from our defaults for this architecture (`CHOICES`)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.architecture not in CHOICES:
            raise ValueError(
                f"there is no architecture {self.architecture!r}; there are {', '.join(CHOICES)}."
            )
        if not self.sparsities or len(set(self.sparsities)) < len(self.sparsities):
            raise ValueError(
                f"{self.architecture} needs one or more different sparsities, not {list(self.sparsities)}."
            )

    @property
    def middle(self) -> float:
        """The sparsity at which the learning rate is chosen."""
        return sorted(self.sparsities)[len(self.sparsities) // 2]

    def dictionary(self, d_sae: int, sparsity: float) -> dict[str, Any]:
        """Settings of the dictionary with this sparsity, except d_in."""
        return dictionary_settings(self.architecture, d_sae, sparsity, **self.settings)


@dataclass(frozen=True, kw_only=True)
class SweepConfig(Settings):
    """Architectures × sparsities on one source of activations, with the same tokens, width and steps for all."""

    source: SourceConfig
    """Where activations come from."""
    d_sae: Size
    """Number of features of every dictionary."""
    contenders: tuple[Contender, ...]
    """The architectures with their sparsities."""
    learning_rates: tuple[PositiveFloat, ...]
    """If there are several, each architecture uses the one with the lowest loss at its middle sparsity."""
    training: TrainingConfig
    """The other training settings; the sweep sets lr and seed."""
    seeds: tuple[NonNegativeInt, ...] = (0,)
    """Seeds of weights and batches, and of known features."""
    title: str = "Dictionaries"
    """Title of the report."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("contenders", "learning_rates", "seeds"):
            if not getattr(self, name):
                raise ValueError(f"a sweep needs at least one of its {name.replace('_', ' ')}.")
        names = [contender.architecture for contender in self.contenders]
        if len(set(names)) < len(names):
            raise ValueError(f"each architecture may occur only once; got {', '.join(names)}.")
        if "crosscoder" in names or self.source.target_hook or len(self.source.hook) > 1:
            raise ValueError(
                "a sweep compares dictionaries that read and write the same hook point. The L0 and FVU of transcoders "
                "and crosscoders are not comparable: train them with `mechscope sae train`."
            )
        for contender in self.contenders:
            for sparsity in contender.sparsities:
                # Checks k > d_sae and the like; the width is not known yet.
                config_from_dict({**contender.dictionary(self.d_sae, sparsity), "d_in": 1})

    def to_json(self) -> str:
        """What `--print-config` prints and `--config` reads."""
        return json.dumps(self.to_dict(), indent=2) + "\n"


def sweep_from_dict(settings: Mapping[str, Any]) -> SweepConfig:
    """Restore the config that `to_dict` describes.

    Raises:
        ValueError: for unknown settings (suggests the closest names), and for missing or invalid ones.
    """
    return decode(SweepConfig, settings, "a sweep's config")


def read_sweep(path: Path) -> SweepConfig:
    """The sweep in a JSON file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not JSON, or as `sweep_from_dict`; the error names the file.
    """
    with naming(path):
        return sweep_from_dict(read_json_object(path, fix=HOW_TO_MAKE_ONE))
