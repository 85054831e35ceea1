"""Model names as in the classic loader, where official names are repositories on the Hugging Face hub."""

from __future__ import annotations

from typing import Any

import torch

from mechscope.checkpoints.find import Wanted, find
from mechscope.checkpoints.registry import entries, lookup, nearest_names
from mechscope.checkpoints.schedules import PYTHIA_STEPS, STANFORD_STEPS, schedule_of
from mechscope.model.config import HookedTransformerConfig

OFFICIAL_MODEL_NAMES: list[str] = [entry.hub_id for entry in entries()]
"""Repositories in our table."""
MODEL_ALIASES: dict[str, list[str]] = {
    entry.hub_id: list(dict.fromkeys((entry.name, *entry.aliases, entry.hub_id.partition("/")[2])))
    for entry in entries()
}
"""Repository → its names."""
DEFAULT_MODEL_ALIASES: list[str] = [entry.name for entry in entries()]
"""The display name of each model."""
STANFORD_CRFM_CHECKPOINTS: list[int] = list(STANFORD_STEPS)
PYTHIA_CHECKPOINTS: list[int] = list(PYTHIA_STEPS)


def make_model_alias_map() -> dict[str, str]:
    """Every name in lower case → its repository."""
    names = {alias.lower(): hub_id for hub_id, aliases in MODEL_ALIASES.items() for alias in aliases}
    return names | {hub_id.lower(): hub_id for hub_id in OFFICIAL_MODEL_NAMES}


def get_official_model_name(model_name: str) -> str:
    """The repository of a name or an alias.

    Raises:
        ValueError: for an unknown name; suggests the closest ones.
    """
    entry = lookup(model_name)
    if entry is None:
        near = nearest_names(model_name)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise ValueError(
            f"there is no model called {model_name!r}.{hint} `mechscope models` lists the names."
        )
    return entry.hub_id


def get_checkpoint_labels(model_name: str, **kwargs: Any) -> tuple[list[int], str]:
    """The training steps at which a model's weights were saved, and their unit: "step".

    Args:
        kwargs: ignored.

    Raises:
        ValueError: for a model that has only its final weights.
    """
    del kwargs
    schedule = schedule_of(get_official_model_name(model_name))
    if schedule is None:
        raise ValueError(f"{model_name} has no training checkpoints, only its final weights.")
    return list(schedule.steps), "step"


def get_pretrained_model_config(
    model_name: str,
    *,
    checkpoint_index: int | None = None,
    checkpoint_value: int | None = None,
) -> HookedTransformerConfig:
    """The config of a model as stored, without reading the weights.

    Raises:
        ValueError: for an unknown name or checkpoint.
        FileNotFoundError: if the files cannot be found or downloaded.
    """
    return find(model_name, Wanted(None, checkpoint_index, checkpoint_value)).checkpoint.cfg


def get_num_params_of_pretrained(model_name: str) -> int:
    """The number of weights in a model's blocks, computed from its config (`cfg.n_params`)."""
    return get_pretrained_model_config(model_name).n_params


def get_pretrained_state_dict(
    official_model_name: str, cfg: HookedTransformerConfig, dtype: torch.dtype = torch.float32
) -> dict[str, torch.Tensor]:
    """The weights of a model in the classic layout, unprocessed, for the layers that `cfg` keeps."""
    wanted = Wanted(
        None, cfg.checkpoint_index, None if cfg.checkpoint_index is not None else cfg.checkpoint_value
    )
    return find(official_model_name, wanted).checkpoint.read(cfg, dtype)


def fill_missing_keys(model: Any, state_dict: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """See `HookedTransformer.fill_missing_keys`."""
    return model.fill_missing_keys(state_dict)
