"""Build a dictionary from converted weights: data type, decoder norms, metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mechscope.dictionaries.building import from_state
from mechscope.dictionaries.config import DecoderNorm, DictionaryConfig, Dtype
from mechscope.dictionaries.dictionary import Dictionary

DTYPES: dict[torch.dtype, Dtype] = {
    torch.float32: "float32",
    torch.float64: "float64",
    torch.bfloat16: "bfloat16",
    torch.float16: "float16",
}


def dtype_of(name: object, where: str) -> Dtype:
    """A data type by its name, with or without the prefix "torch.".

    Raises:
        ValueError: for an unknown name.
    """
    for dtype in DTYPES.values():
        if str(name).removeprefix("torch.") == dtype:
            return dtype
    raise ValueError(f"{where}: dtype is {name!r}; known are {', '.join(DTYPES.values())}.")


def dtype_of_weights(weights: Tensor, where: str) -> Dtype:
    """The data type of weights.

    Raises:
        ValueError: for integers and other unsupported types.
    """
    if weights.dtype not in DTYPES:
        raise ValueError(f"{where}: weights are {weights.dtype}; known are {', '.join(DTYPES.values())}.")
    return DTYPES[weights.dtype]


def decoder_norm_of(W_dec: Tensor) -> DecoderNorm:
    """ "unit" if all rows of a published decoder have length 1, otherwise "free"; further training keeps to it."""
    norms = W_dec.double().norm(dim=-1)
    # A row's length is only as exact as its entries.
    tolerance = 1e-4 if W_dec.dtype in (torch.float32, torch.float64) else 1e-2
    return "unit" if bool(((norms - 1).abs() < tolerance).all()) else "free"


def make(cfg: DictionaryConfig, state: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> Dictionary:
    """The dictionary with these weights in the config's data type; a BatchTopK threshold is always float64."""
    dtype: torch.dtype = getattr(torch, cfg.dtype)
    running = cfg.architecture in ("batch_topk", "matryoshka")
    converted = {
        name: tensor.to(torch.float64 if running and name == "threshold" else dtype)
        for name, tensor in state.items()
    }
    return from_state(cfg, converted, metadata)
