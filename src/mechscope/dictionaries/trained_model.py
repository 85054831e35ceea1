"""Compare the model that a dictionary is used with to the one that it was trained on, according to its metadata.

Dictionaries of other tools name their model, how it was loaded, and whether texts began with a begin token. With other
activations a dictionary still returns numbers, so a difference causes a warning.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, cast

import torch

from mechscope.checkpoints import registry

LOADED_WITH = "model_from_pretrained_kwargs"
"""Metadata key of the options with which SAELens loaded the model."""
BEGINS = "prepend_bos"
"""Metadata key that says whether texts began with a begin token in training."""
_VERSION = ("checkpoint_index", "checkpoint_value")


def warn_of_other_model(dictionary: Any, model: Any, tokens: torch.Tensor | None = None) -> None:
    """Warn if the model, or the text, is not what the dictionary's metadata describes.

    Args:
        tokens: the token ids [batch pos] that the model reads, if they are known.
    """
    metadata: Mapping[str, Any] = getattr(dictionary, "metadata", None) or {}
    for problem in [
        *_another_name(metadata, model),
        *_otherwise_loaded(metadata, model),
        *_other_beginning(metadata, model, tokens),
    ]:
        warnings.warn(f"{problem} (from the dictionary's metadata)", stacklevel=4)


def _another_name(metadata: Mapping[str, Any], model: Any) -> list[str]:
    name, own = metadata.get("model_name"), model.cfg.model_name
    if not isinstance(name, str):
        return []
    theirs, ours = registry.lookup(name), registry.lookup(str(own))
    if theirs is None or ours is None or theirs == ours:
        return []
    return [f"this dictionary was trained on {theirs.name}, not on {ours.name}."]


def _otherwise_loaded(metadata: Mapping[str, Any], model: Any) -> list[str]:
    given: Any = metadata.get(LOADED_WITH)
    options = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    found: list[str] = []
    centred = options.get("center_writing_weights")
    if (
        isinstance(centred, bool)
        and (is_centred := _writes_centred(model)) is not None
        and centred != is_centred
    ):
        found.append(
            f"this dictionary was trained on activations of a model loaded with center_writing_weights={centred}, but "
            f"this model's writing weights are {'' if is_centred else 'not '}centred, which shifts its residual "
            f"stream: load it with center_writing_weights={centred}."
        )
    for name in _VERSION:
        value = options.get(name)
        if value is not None and value != getattr(model.cfg, name, None):
            found.append(
                f"this dictionary was trained on the checkpoint with {name}={value}, but this model has "
                f"{name}={getattr(model.cfg, name, None)}."
            )
    return found


def _writes_centred(model: Any) -> bool | None:
    """Whether writes to the residual stream have mean zero, as after center_writing_weights; None if unknown."""
    if model.cfg.normalization_type not in ("LN", "LNPre") or getattr(model, "blocks", None) is None:
        return None
    weights = getattr(getattr(model, "embed", None), "W_E", None)
    if weights is None or weights.device.type == "meta":
        return None
    with torch.no_grad():
        rows = weights[: min(len(weights), 256)].double()
        return bool(rows.mean(-1).abs().max() < 1e-3 * rows.abs().max())


def _other_beginning(metadata: Mapping[str, Any], model: Any, tokens: torch.Tensor | None) -> list[str]:
    begins, tokenizer = metadata.get(BEGINS), getattr(model, "tokenizer", None)
    begin = getattr(tokenizer, "bos_token_id", None)
    if not isinstance(begins, bool) or begin is None:
        return []
    if tokens is None:
        does = bool(getattr(model.cfg, "default_prepend_bos", begins))
        what, remedy = "this model's texts do by default", f"give it text with prepend_bos={begins}"
    else:
        first = tokens[:, 0] == begin
        does = bool(first.any()) if not begins else bool(first.all())
        what, remedy = "these do", f"make the tokens with prepend_bos={begins}"
    if does == begins:
        return []
    words = ("began", what.replace("do", "do not", 1)) if begins else ("did not begin", what)
    return [f"in training, texts {words[0]} with a begin token, and {words[1]}: {remedy}."]
