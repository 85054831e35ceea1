"""Dictionaries of every architecture, small and in float64."""

from __future__ import annotations

import dataclasses

import torch

from mechscope.dictionaries import config as c
from mechscope.dictionaries import transcoder
from mechscope.dictionaries.building import build
from mechscope.dictionaries.dictionary import Dictionary

SIZE = {"d_in": 8, "d_sae": 24}
CONFIGS: dict[str, c.DictionaryConfig] = {
    "relu": c.ReluConfig(**SIZE, l1=0.3),
    "relu-free": c.ReluConfig(**SIZE, l1=0.3, decoder_norm="free", decoder_start_norm=0.4),
    "topk": c.TopKConfig(**SIZE, k=4),
    "topk-rescaled": c.TopKConfig(**SIZE, k=4, decoder_norm="free", rescale_by_decoder_norm=True),
    "topk-no-subtraction": c.TopKConfig(**SIZE, k=4, subtract_b_dec=False),
    "batch_topk": c.BatchTopKConfig(**SIZE, k=4),
    "batch_topk-rescaled": c.BatchTopKConfig(**SIZE, k=4, decoder_norm="free", rescale_by_decoder_norm=True),
    "jumprelu": c.JumpReluConfig(**SIZE, l0=0.2, bandwidth=0.5, start_threshold=0.3),
    "gated": c.GatedConfig(**SIZE, l1=0.3),
    "matryoshka": c.MatryoshkaConfig(**SIZE, k=4, widths=(6, 12, 24)),
    "crosscoder": c.CrosscoderConfig(**SIZE, l1=0.3, n_layers=2),
    "transcoder": transcoder(c.ReluConfig(**SIZE, l1=0.3), 6),
    "skip-topk-transcoder": transcoder(c.TopKConfig(**SIZE, k=4), 6, skip=True),
}


def shaken(name: str, seed: int = 0, dtype: c.Dtype = "float64", **changes: object) -> Dictionary:
    """A dictionary none of whose parameters is at a special value."""
    cfg = dataclasses.replace(CONFIGS[name], dtype=dtype, **changes)
    dictionary = build(cfg, seed)
    draw = torch.Generator().manual_seed(seed + 1000)
    with torch.no_grad():
        for parameter in dictionary.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=draw, dtype=torch.float64).to(parameter)
    return dictionary


def batch_of(dictionary: Dictionary, seed: int = 0, n: int = 20) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Activations and, for a transcoder, targets."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(n, dictionary.cfg.d_in, generator=draw, dtype=torch.float64)
    target = torch.randn(n, dictionary.cfg.width_out, generator=draw, dtype=torch.float64)
    return x, target if dictionary.cfg.transcodes else None
