"""Transcoders: any architecture that writes to a different hook point than it reads.

Dunefsky et al. 2024, "Transcoders Find Interpretable LLM Feature Circuits": from an MLP's input to its output. A skip
term (Paulo et al. 2025) adds a linear map of the input, so that features need not represent it.
"""

from __future__ import annotations

import dataclasses
from typing import TypeVar

from mechscope.arguments import checked_arguments
from mechscope.dictionaries.config import DictionaryConfig

Config = TypeVar("Config", bound=DictionaryConfig)


@checked_arguments
def transcoder(cfg: Config, d_out: int | None = None, *, skip: bool = False) -> Config:
    """The config of a transcoder with the features of `cfg`.

    Args:
        d_out: width of the output; None means the width of the input.
        skip: whether to add a linear map of the input.

    >>> from mechscope.dictionaries.config import TopKConfig
    >>> transcoder(TopKConfig(d_in=8, d_sae=32, k=4), 6, skip=True).width_out
    6
    """
    return dataclasses.replace(
        cfg, d_out=cfg.d_in if d_out is None else d_out, skip=skip, subtract_b_dec=False
    )
