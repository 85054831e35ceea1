"""Open the activations that options, a config file and a dictionary's metadata name."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mechscope.cli.sae.commands import SourceOptions

if TYPE_CHECKING:
    import torch

    from mechscope.dictionaries.dictionary import Dictionary
    from mechscope.dictionaries.sources.config import SourceConfig
    from mechscope.dictionaries.sources.opening import Source


def given(**options: Any) -> dict[str, Any]:
    """The options that were given; None stands for one that was not.

    >>> given(steps=10, lr=None)
    {'steps': 10}
    """
    return {name: value for name, value in options.items() if value is not None}


def source_settings(command: SourceOptions, saved: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a source: the saved ones, overridden by the options."""
    chosen = given(
        model=command.model,
        text=command.text,
        synthetic=command.synthetic,
        tokens=command.tokens,
        held_out=command.held_out,
        context=command.context,
        skip_first=command.skip_first,
        head=command.head,
        hook=list(command.hook) or None,
        # A sweep has no targets.
        target_head=getattr(command, "target_head", None),
        target_hook=list(getattr(command, "target_hook", ())) or None,
        exclude_special_tokens=command.exclude_special_tokens or None,
    )
    settings = {**saved, **chosen}
    # Options for the other kind of source replace all settings of the saved one.
    if "synthetic" in chosen and "model" not in chosen:
        of_a_model = ("model", "hook", "target_hook", "head", "target_head", "exclude_special_tokens")
        settings = {name: value for name, value in settings.items() if name not in of_a_model}
    elif "model" in chosen and "synthetic" not in chosen:
        settings.pop("synthetic", None)
    return settings


def source_of(command: SourceOptions, dictionary: Dictionary) -> SourceConfig | None:
    """Settings of a dictionary's activations, from its metadata and the options; None if neither names any.

    Raises:
        ValueError: for invalid settings.
    """
    from mechscope.dictionaries.head import HEAD, HEAD_OUT
    from mechscope.dictionaries.position_mask import EXCLUDED
    from mechscope.dictionaries.sources.config import SourceConfig, source_from_dict
    from mechscope.dictionaries.trained_model import BEGINS

    kept: dict[str, Any] = dict(dictionary.metadata.get("source", {}))
    if not kept:
        # The entries that other tools save.
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


def evaluation_path(dictionary: Path) -> Path:
    """Where `mechscope sae eval` writes by default, for the dictionary's folder or file."""
    from mechscope.dictionaries.sources.evaluation_file import NAME

    return (dictionary if dictionary.is_dir() else dictionary.parent) / NAME


def open_for(dictionary: Dictionary, config: SourceConfig, device: torch.device, folder: Path) -> Source:
    """Open the source of a dictionary's activations, and check that the widths match.

    Raises:
        ValueError: if they do not match; also as `open_source`.
    """
    from mechscope.dictionaries.sources.opening import open_source

    source = open_source(config, device)
    cfg = dictionary.cfg
    if cfg.d_in != source.d_in:
        raise ValueError(
            f"{folder} reads activations of width d_in = {cfg.d_in}, but those of {source.description} have width "
            f"{source.d_in}."
        )
    if cfg.transcodes and source.d_out != cfg.d_out:
        have = (
            "no --target-hook was given" if source.d_out is None else f"the target has width {source.d_out}"
        )
        raise ValueError(f"{folder} is a transcoder that writes width d_out = {cfg.d_out}, but {have}.")
    _warn_of_other_weights(dictionary, source, folder)
    return source


def _warn_of_other_weights(dictionary: Dictionary, source: Source, folder: Path) -> None:
    """Warn on standard error if the model's weights differ from those that the dictionary was trained on."""
    from mechscope.dictionaries.sources.opening import WEIGHTS, ModelSource

    kept = dictionary.metadata
    if not isinstance(source, ModelSource) or kept.get("model_name") != source.config.model:
        return
    if kept.get(WEIGHTS, source.weights) != source.weights:
        print(
            f"mechscope: the weights of {source.config.model} have changed since {folder} was trained on it "
            f"(checksum {kept[WEIGHTS]} then, {source.weights} now); the results below are for the new weights.",
            file=sys.stderr,
        )
