"""Python code for demos, as tokens: a module of the standard library."""

from __future__ import annotations

import inspect
import textwrap

import torch
from torch import Tensor

from mechscope.model.transformer import HookedTransformer


def python_code(model: HookedTransformer, texts: int = 24) -> Tensor:
    """Token ids [text pos] of consecutive pieces of a module, each after a begin token."""
    length = model.cfg.n_ctx - 1
    begin, *ids = model.to_tokens(inspect.getsource(textwrap)[: 8 * texts * length], truncate=False)[
        0
    ].tolist()
    rows = torch.tensor(ids[: texts * length]).reshape(texts, length)
    return torch.cat([torch.full((texts, 1), begin), rows], 1)
