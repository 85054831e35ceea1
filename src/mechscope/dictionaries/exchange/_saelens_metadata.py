"""Check the metadata of a SAELens dictionary: each entry is used somewhere, kept for the record, or reported."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Mapping
from typing import Any

from mechscope.arguments import not_of_kind, shown
from mechscope.dictionaries.head import HEAD, HEAD_OUT, check_head
from mechscope.dictionaries.position_mask import EXCLUDED
from mechscope.dictionaries.trained_model import BEGINS, LOADED_WITH
from mechscope.dictionaries.trained_positions import POSITIONS, check_positions
from mechscope.near_names import did_you_mean_clause

USED: Mapping[str, str] = {
    "hook_name": "where `attached` reads",
    "hook_name_out": "where `attached` writes a transcoder's output",
    "hook_layer": "compared with hook_name",
    HEAD: "the head that is read",
    HEAD_OUT: "the head that is written",
    POSITIONS: "the positions at which it is used and evaluated",
    EXCLUDED: "the tokens that are left out of evaluations",
    BEGINS: "how `mechscope sae` makes rows of tokens, and compared with the model's texts",
    "context_size": "how long `mechscope sae` makes rows of tokens",
    "model_name": "the model that `mechscope sae` loads, and compared with the one that it is attached to",
    LOADED_WITH: "compared with the model that it is attached to",
}
"""Entry → what uses it."""
_RECORD = """
    dataset_path dataset_trust_remote_code disable_concat_sequences format hf_hook_name hf_hook_name_out k l0
    matryoshka_widths model_class_name model_weights neuronpedia_id num_dead_features sae_lens_training_version
    sae_lens_version sequence_separator_token source trained_as training_architecture training_architecture_details
    transcode
"""
RECORD = frozenset(_RECORD.split())
"""Entries that only describe where a dictionary comes from, and do not change what it computes."""
KINDS: Mapping[str, Any] = {
    "hook_name": str | None,
    "hook_name_out": str | None,
    "hook_layer": int | None,
    BEGINS: bool | None,
    "context_size": int | None,
    EXCLUDED: bool | list[int] | None,
    "model_name": str | None,
    LOADED_WITH: dict[str, Any] | None,
}


def check_metadata(metadata: Mapping[str, Any], where: str, ignore: Collection[str] = ()) -> None:
    """Check the entries that are used, and warn about unknown ones.

    Raises:
        ValueError: listing every invalid entry.
        UserWarning: for unknown entries, which are kept but not used.
    """
    problems = [
        f"{name} must be {words}, not {shown(metadata[name])}"
        for name, kind in KINDS.items()
        if name in metadata and (words := not_of_kind(metadata[name], kind)) is not None
    ]
    checks = ((HEAD, check_head), (HEAD_OUT, check_head), (POSITIONS, check_positions))
    for name, check in checks:
        try:
            check(metadata.get(name), name) if check is check_head else check(metadata.get(name))  # type: ignore[call-arg]
        except ValueError as error:
            problems.append(str(error).removesuffix("."))
    context = metadata.get("context_size")
    if isinstance(context, int) and context < 1:
        problems.append(f"context_size must be at least 1, not {context}")
    layer, named = metadata.get("hook_layer"), re.match(r"blocks\.(\d+)\.", str(metadata.get("hook_name")))
    if problems:
        raise ValueError(f"{where}: {'; '.join(problems)}.")
    if layer is not None and named is not None and int(named[1]) != layer:
        warnings.warn(
            f"{where}: hook_layer {layer} contradicts hook_name {metadata['hook_name']!r}; hook_name is used.",
            stacklevel=2,
        )
    known = (*USED, *RECORD)
    unknown = [
        name
        for name, value in metadata.items()
        if name not in known and name not in ignore and value not in (None, False, [], {})
    ]
    if unknown:
        hints = [did_you_mean_clause(name, known, cutoff=0.8) for name in unknown]
        listed = ", ".join(
            f"{name} ({hint})" if hint else name for name, hint in zip(unknown, hints, strict=True)
        )
        warnings.warn(
            f"{where}: unknown metadata is kept but not used: {listed}. If it makes no difference, pass ignore=(…) "
            "with these names.",
            stacklevel=2,
        )
