"""Whether a model fits into memory, said before its weights are read."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Generator
from contextlib import contextmanager

import torch

from mechscope.checkpoints.classic_layout import classic_shapes
from mechscope.main_memory import main_memory
from mechscope.model.config import HookedTransformerConfig

BY_FAR = 1.5
"""A model that needs this many times what is available is refused: whether a smaller excess fits depends on how much
the system can move out of the way."""
OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")
"""How torch says that memory ran out; it raises a RuntimeError."""


class TooLittleMemoryError(MemoryError, ValueError):
    """A model does not fit into memory."""


def memory_needed(cfg: HookedTransformerConfig, *, untied: bool) -> int:
    """The bytes of memory that loading a model takes at its peak: its weights, and one tensor more in float32.

    Args:
        cfg: its config, with the data type of the weights.
        untied: whether processing gives embedding and unembedding weights of their own.

    >>> from mechscope.checkpoints.find import Wanted, find
    >>> cfg = find("mini-gelu-1l", Wanted()).checkpoint.cfg
    >>> half = dataclasses.replace(cfg, dtype=torch.bfloat16)
    >>> memory_needed(cfg, untied=True) > 1.5 * memory_needed(half, untied=True)
    True
    """
    if untied:
        cfg = dataclasses.replace(cfg, tie_word_embeddings=False)
    sizes = [math.prod(shape) for shape in classic_shapes(cfg).values()]
    return sum(sizes) * cfg.dtype.itemsize + max(sizes) * torch.float32.itemsize


def check_memory(cfg: HookedTransformerConfig, *, untied: bool, mapped: bool) -> None:
    """Refuse a model that needs far more memory than there is, and warn about one that may not fit.

    Args:
        cfg: its config, with the data type of the weights.
        untied: see `memory_needed`.
        mapped: whether weights may stay in their file until they are used; then they are never refused.

    Raises:
        TooLittleMemoryError: (a ValueError and a MemoryError) says how much is needed, how much there is, and what
            would fit.
    """
    need = memory_needed(cfg, untied=untied)
    memory = main_memory()
    there = memory.available + memory.free_swap
    if need <= there:
        return
    too_much = need > memory.total + memory.free_swap or need > BY_FAR * there
    verdict = "does not fit" if too_much and not mapped else "may not fit"
    message = (
        f"{cfg.model_name} {verdict} into memory: loading it in {str(cfg.dtype).removeprefix('torch.')} needs about "
        f"{_gigabytes(need)}, and {_gigabytes(there)} of {_gigabytes(memory.total)} are available. {_advice(cfg)}"
    )
    if too_much and not mapped:
        raise TooLittleMemoryError(message)
    warnings.warn(message, stacklevel=4)


@contextmanager
def saying_if_memory_runs_out(cfg: HookedTransformerConfig, *, untied: bool) -> Generator[None]:
    """Turn what NumPy and torch raise when memory runs out into one sentence."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not any(words in str(error) for words in OUT_OF_MEMORY):
            raise
        need = _gigabytes(memory_needed(cfg, untied=untied))
        raise TooLittleMemoryError(
            f"memory ran out while {cfg.model_name} was being loaded, which needs about {need}. {_advice(cfg)}"
        ) from error


def _advice(cfg: HookedTransformerConfig) -> str:
    narrower = "pass dtype='bfloat16', " if cfg.dtype.itemsize > 2 else ""
    return f"Close other programs, {narrower}or load its first layers only (first_n_layers=…)."


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 5e7 else f"{size / 1e6:,.1f} MB"
