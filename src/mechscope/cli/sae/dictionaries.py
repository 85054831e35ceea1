"""A dictionary in a folder, and the activations it belongs to."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mechscope.cli.sae.commands import SourceOptions
from mechscope.cli.sae.options import source_settings

if TYPE_CHECKING:
    import torch

    from mechscope.dictionaries.dictionary import Dictionary
    from mechscope.dictionaries.sources.config import SourceConfig
    from mechscope.dictionaries.sources.opening import Source


def where_it_belongs(command: SourceOptions, dictionary: Dictionary) -> SourceConfig | None:
    """What its file and the options say about its activations; None if neither says anything.

    Raises:
        ValueError: for settings that cannot be.
    """
    from mechscope.dictionaries.counted_positions import EXCLUDED
    from mechscope.dictionaries.head import HEAD, HEAD_OUT
    from mechscope.dictionaries.sources.config import SourceConfig, source_from_dict
    from mechscope.dictionaries.trained_model import BEGINS

    kept: dict[str, Any] = dict(dictionary.metadata.get("source", {}))
    if not kept:
        # What other tools call it.
        for setting, name in (
            ("model", "model_name"),
            ("hook", "hook_name"),
            ("target_hook", "hook_name_out"),
            ("head", HEAD),
            ("target_head", HEAD_OUT),
            ("exclude_special_tokens", EXCLUDED),
            ("prepend_bos", BEGINS),
            ("context", "context_size"),
        ):
            if dictionary.metadata.get(name) not in (None, ""):
                kept[setting] = dictionary.metadata[name]
    settings = source_settings(command, kept)
    if not settings.get("synthetic") and not (settings.get("model") and settings.get("hook")):
        given = sorted(set(settings) - {field for field, value in settings.items() if not value})
        if not given:
            return None
        return SourceConfig(**settings)
    return source_from_dict(settings)


def open_for(dictionary: Dictionary, config: SourceConfig, device: torch.device, folder: Path) -> Source:
    """The source of a dictionary's activations, whose widths are those of the dictionary.

    Raises:
        ValueError: if they are not, and whatever `open_source` says.
    """
    from mechscope.dictionaries.sources.opening import open_source

    source = open_source(config, device)
    cfg = dictionary.cfg
    if cfg.d_in != source.d_in:
        raise ValueError(
            f"{folder} reads activations of width d_in = {cfg.d_in}; those of {source.words} have width {source.d_in}."
        )
    if cfg.transcodes and source.d_out != cfg.d_out:
        have = (
            "no --target-hook was named" if source.d_out is None else f"the target has width {source.d_out}"
        )
        raise ValueError(f"{folder} is a transcoder that writes width d_out = {cfg.d_out}; {have}.")
    _warn_of_other_weights(dictionary, source, folder)
    return source


def _warn_of_other_weights(dictionary: Dictionary, source: Source, folder: Path) -> None:
    """Say on the standard error where a model is no longer the one that a dictionary was trained on."""
    from mechscope.dictionaries.sources.opening import WEIGHTS, ModelSource

    kept = dictionary.metadata
    if not isinstance(source, ModelSource) or kept.get("model_name") != source.config.model:
        return
    if kept.get(WEIGHTS, source.weights) != source.weights:
        print(
            f"mechscope: the weights of {source.config.model} have changed since {folder} was trained on it "
            f"(checksum {kept[WEIGHTS]} then, {source.weights} now); what follows is about the new ones.",
            file=sys.stderr,
        )
