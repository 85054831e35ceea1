"""Small helpers for exploring a model in a notebook."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch


def select_compatible_kwargs(kwargs_dict: Mapping[str, Any], callable: Callable[..., Any]) -> dict[str, Any]:
    """The keyword arguments that a function accepts by name.

    >>> select_compatible_kwargs({"ndigits": 1, "colour": "red"}, round)
    {'ndigits': 1}
    """
    takes = inspect.signature(callable).parameters
    return {name: value for name, value in kwargs_dict.items() if name in takes}


def is_library_available(name: str) -> bool:
    """Whether a library is installed, without importing it."""
    return name in sys.modules or importlib.util.find_spec(name) is not None


def logits_to_df(logits: torch.Tensor, tokenizer: Any = None, top_k: int | None = None) -> Any:
    """The logits of one position [d_vocab] as a data frame, the likeliest token first.

    Its columns are token_index, token_string (if a tokenizer is given), logit, log_prob (in nats) and probability.

    Args:
        logits: the logits of one position.
        tokenizer: decodes the tokens.
        top_k: the number of rows; None means all.

    Raises:
        ValueError: for logits of more than one position.
    """
    import pandas as pd

    if logits.ndim != 1:
        raise ValueError(
            f"logits_to_df takes the logits of one position [d_vocab], not {tuple(logits.shape)}."
        )
    wide = logits.detach().float()
    log_probs = wide.log_softmax(-1)
    order = log_probs.argsort(descending=True)[:top_k]
    columns: dict[str, Any] = {"token_index": order.tolist()}
    if tokenizer is not None:
        columns["token_string"] = [tokenizer.decode([index]) for index in order.tolist()]
    columns["logit"] = wide[order].tolist()
    columns["log_prob"] = log_probs[order].tolist()
    columns["probability"] = log_probs[order].exp().tolist()
    return pd.DataFrame(columns)


def check_structure(t1: torch.Tensor, t2: torch.Tensor, *, verbose: bool = False) -> None:
    """Print whether two matrices increase and decrease in the same places, from row to row and from column to column.

    Prints PASSED, or the rows or columns after which they differ. `verbose` also prints the comparisons.

    Raises:
        ValueError: unless both tensors are matrices of the same shape.
    """
    if t1.ndim != 2 or t1.shape != t2.shape:
        raise ValueError(f"give two matrices of the same shape, not {tuple(t1.shape)} and {tuple(t2.shape)}.")
    lines = []
    found: dict[str, list[int]] = {}
    for what, one, other in (("row", t1, t2), ("column", t1.mT, t2.mT)):
        first, second = one[:-1] >= one[1:], other[:-1] >= other[1:]
        found[what] = (first != second).any(1).nonzero().flatten().tolist()
        for index in found[what]:
            lines += [
                f"{what}s {index}:{index + 1}",
                f"  t1: {first[index].tolist()}",
                f"  t2: {second[index].tolist()}",
            ]
    mismatches = [f"{what} mismatch: {indices}" for what, indices in found.items() if indices]
    report = [*(lines if verbose else []), *(mismatches or ["PASSED"])]
    print("\n".join(report))  # noqa: T201 - to print is what this function is for


def print_gpu_mem(step_name: str = "") -> None:
    """Print how much GPU memory torch has allocated."""
    held = torch.cuda.memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0
    print(f"{step_name} ~ {held:.2f} GiB allocated on GPU.")  # noqa: T201 - to print is what this function is for
