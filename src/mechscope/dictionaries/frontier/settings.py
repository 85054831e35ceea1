"""What a sweep computes, as plain settings. Loads no torch."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mechscope.arguments import shown
from mechscope.dictionaries.config import config_from_dict, plain, strict
from mechscope.dictionaries.jobs.choices import CHOICES, dictionary_settings
from mechscope.dictionaries.sources.config import SourceConfig, source_from_dict
from mechscope.dictionaries.training_config import TrainingConfig, training_config_from_dict


@dataclass(frozen=True, kw_only=True)
class Contender:
    """An architecture and the sparsities at which it is trained."""

    architecture: str
    """Its name."""
    sparsities: tuple[float, ...]
    """Values of k, l1 or l0, whichever says how sparse it is."""
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Settings that differ from our own choices for this architecture."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "sparsities", tuple(self.sparsities))
        if self.architecture not in CHOICES:
            raise ValueError(
                f"there is no architecture {self.architecture!r}; there are {', '.join(CHOICES)}."
            )
        if not self.sparsities or len(set(self.sparsities)) < len(self.sparsities):
            raise ValueError(
                f"{self.architecture} needs sparsities, each once; it has {list(self.sparsities)}."
            )

    @property
    def middle(self) -> float:
        """The sparsity at which a learning rate is chosen."""
        return sorted(self.sparsities)[len(self.sparsities) // 2]

    def dictionary(self, d_sae: int, sparsity: float) -> dict[str, Any]:
        """Settings of the dictionary at one sparsity, but for d_in."""
        return dictionary_settings(self.architecture, d_sae, sparsity, **self.settings)


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """Architectures × sparsities on one source of activations; the same tokens, width and steps for all."""

    source: SourceConfig
    """Where activations come from."""
    d_sae: int
    """Features of every dictionary."""
    contenders: tuple[Contender, ...]
    """Who takes part."""
    learning_rates: tuple[float, ...]
    """Of several, each architecture takes the one with which its own loss is lowest at its middle sparsity."""
    training: TrainingConfig
    """The rest of the training; its lr and seed are the sweep's to set."""
    seeds: tuple[int, ...] = (0,)
    """Of weights and batches; known features are drawn anew too."""
    title: str = "Dictionaries"
    """What the frontiers are of."""

    def __post_init__(self) -> None:
        for name in ("contenders", "learning_rates", "seeds"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            if not getattr(self, name):
                raise ValueError(f"a sweep needs at least one of its {name.replace('_', ' ')}.")
        names = [contender.architecture for contender in self.contenders]
        if len(set(names)) < len(names):
            raise ValueError(f"each architecture takes part once; got {', '.join(names)}.")
        if "crosscoder" in names or self.source.target_hook or len(self.source.hook) > 1:
            raise ValueError(
                "a sweep compares dictionaries that read and write one place. Transcoders and crosscoders reconstruct "
                "something else, so their L0 and FVU are on other scales: train them with `mechscope sae train`."
            )
        for contender in self.contenders:
            for sparsity in contender.sparsities:
                # Checks k > d_sae and the like; the width is not known yet.
                config_from_dict({**contender.dictionary(self.d_sae, sparsity), "d_in": 1})

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        fields = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        fields["source"], fields["training"] = self.source.to_dict(), self.training.to_dict()
        fields["contenders"] = [
            {
                "architecture": each.architecture,
                "sparsities": list(each.sparsities),
                "settings": dict(each.settings),
            }
            for each in self.contenders
        ]
        return plain(fields)

    def to_json(self) -> str:
        """What `--print-config` prints and `--config` reads."""
        return json.dumps(self.to_dict(), indent=2) + "\n"


def sweep_from_dict(settings: Mapping[str, Any]) -> SweepConfig:
    """The config that `to_dict` described.

    Raises:
        ValueError: for unknown settings, with the nearest names; for missing or impossible ones.
    """
    if not isinstance(settings, Mapping):
        raise ValueError(f"a sweep's config must be a table of settings, not {shown(settings)}.")
    fields = dict(settings)
    if "source" in fields:
        fields["source"] = source_from_dict(fields["source"])
    if "training" in fields:
        fields["training"] = training_config_from_dict(fields["training"])
    if isinstance(fields.get("contenders"), (list, tuple)):
        fields["contenders"] = tuple(
            strict(Contender, contender, "an architecture of a sweep") for contender in fields["contenders"]
        )
    return strict(SweepConfig, fields, "a sweep's config")
