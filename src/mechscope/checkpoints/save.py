"""mechscope's own model format: a folder with `config.json`, `model.safetensors` and a tokenizer.

A folder is written under a temporary name and renamed when it is complete.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]

from mechscope.checkpoints.legacy import without_buffers
from mechscope.model.config import HookedTransformerConfig, dtype_from_name
from mechscope.reading import naming, read_json_object
from mechscope.storage.files import replacing_folder

FORMAT = "mechscope"
VERSION = 1
NOT_SAVED = ("device", "seed", "init_weights", "init_mode", "initializer_range", "tokenizer_prepends_bos")
"""Fields that describe how a model was made or where it runs, not what it is."""


def is_own_config(fields: Mapping[str, Any]) -> bool:
    """Whether a config.json was written by `save_model`."""
    return fields.get("format") == FORMAT


def own_config(fields: Mapping[str, Any], where: str) -> HookedTransformerConfig:
    """Read the config from one of our config.json files.

    Raises:
        ValueError: for a newer version of the format, an unknown field, or an invalid value.
    """
    version = fields.get("format_version", 0)
    if not isinstance(version, int) or version > VERSION:
        raise ValueError(
            f"{where} has format version {version!r}, but this mechscope reads up to "
            f"{VERSION}: upgrade mechscope."
        )
    if not isinstance(fields.get("class", ""), str):
        raise ValueError(f"{where}: class must be the name of a class, not {fields['class']!r}.")
    kept = {
        name: value for name, value in fields.items() if name not in ("format", "format_version", "class")
    }
    with naming(where):
        return HookedTransformerConfig.from_dict(kept)


def save_model(
    model: Any,
    folder: str | Path,
    *,
    dtype: torch.dtype | str | None = None,
    card: str | None = None,
) -> Path:
    """Write a `HookedTransformer` or `HookedEncoder` to a folder that `load_model` reads.

    Args:
        model: anything with `cfg`, `state_dict()` and optionally one of our tokenizers as `tokenizer`.
        folder: where to write; a folder written by `save_model` before is replaced.
        dtype: data type on disk; None keeps that of the weights.
        card: text for `card.md`, describing what the model is and where it comes from.

    Raises:
        FileExistsError: if the folder contains anything else.
        ValueError: if a weight is not finite in the data type on disk.
        NotKeptError: if it cannot be written, for example to a full disk; an earlier file stays intact.
    """
    folder = Path(folder)
    if folder.exists() and not is_own_folder(folder):
        raise FileExistsError(
            f"{str(folder)!r} exists and is not a model written by mechscope: choose another folder."
        )
    dtype = dtype_from_name(dtype) if isinstance(dtype, str) else dtype
    tensors = _for_disk(without_buffers(model.state_dict()), dtype)
    fields = {name: value for name, value in _changed_fields(model.cfg).items() if name not in NOT_SAVED}
    described = {"format": FORMAT, "format_version": VERSION, "class": type(model).__name__, **fields}
    with replacing_folder(folder) as unfinished:
        try:
            save_file(tensors, unfinished / "model.safetensors", metadata={"format": "pt"})
        except SafetensorError as error:
            raise OSError(f"model.safetensors: {error}") from error
        (unfinished / "config.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
        # safetensors creates files that only their owner can read; apply the usual umask instead.
        (unfinished / "model.safetensors").chmod((unfinished / "config.json").stat().st_mode)
        if card is not None:
            (unfinished / "card.md").write_text(card, encoding="utf-8")
        tokenizer = getattr(model, "tokenizer", None)
        if tokenizer is not None and hasattr(tokenizer, "save_pretrained"):
            tokenizer.save_pretrained(unfinished)
    return folder


def is_own_folder(folder: Path) -> bool:
    """Whether a folder was written by `save_model`, or is empty and can be overwritten."""
    try:
        return is_own_config(read_json_object(folder / "config.json"))
    except (OSError, ValueError):
        return folder.is_dir() and not any(folder.iterdir())


def _for_disk(state: Mapping[str, torch.Tensor], dtype: torch.dtype | None) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        stored = tensor.to(device="cpu", dtype=dtype).contiguous()
        if not torch.isfinite(stored).all():
            reason = "is not finite" if not torch.isfinite(tensor).all() else f"does not fit into {dtype}"
            raise ValueError(f"{name} {reason}, so the model was not saved.")
        # safetensors rejects tensors that share memory; tied weights are already stored only once.
        tensors[name] = stored.clone() if stored.data_ptr() == tensor.data_ptr() else stored
    return tensors


def _changed_fields(cfg: HookedTransformerConfig) -> dict[str, Any]:
    """Fields that differ from their defaults, to keep config.json readable."""
    defaults = {
        field.name: field.default
        for field in dataclasses.fields(cfg)
        if field.default is not dataclasses.MISSING
    }
    plain = cfg.to_json_dict()
    return {
        name: plain[name]
        for name in plain
        if name == "dtype" or name not in defaults or getattr(cfg, name) != defaults[name]
    }
