"""Rank contexts: the most extreme first, earlier ones first among equals, and none with the key of a better one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from mechscope.neuroscope.state import NO_SEQUENCE, Extremes

FIELDS = ("value", "sequence", "position", "key", "window")
UNITS_AT_ONCE = 4096


def best_of(parts: Sequence[Extremes], ranks: int, sign: int) -> Extremes:
    """The best contexts of several lists per unit.

    If each list has the best `ranks` contexts of some texts, the result has the best of all these texts: a context is
    left out only for others that are at least as good, and they are there.

    Args:
        ranks: how many are kept per unit.
        sign: 1 if the highest activations are the best, -1 if the lowest are.
    """
    units, window = len(parts[0]), parts[0].window.shape[-1]
    result = Extremes.empty(units, ranks, window)
    for start in range(0, units, UNITS_AT_ONCE):
        some = slice(start, start + UNITS_AT_ONCE)
        value, sequence, position, key, windows = (
            np.concatenate([getattr(part, name)[some].numpy() for part in parts], axis=1) for name in FIELDS
        )
        order, filled = _order(sign * value, sequence, position, key, ranks)
        rows = np.arange(len(order))[:, None]
        for name, found in zip(FIELDS, (value, sequence, position, key, windows), strict=True):
            target = getattr(result, name)[some].numpy()[:, : order.shape[1]]
            np.copyto(target, found[rows, order], where=filled if found.ndim == 2 else filled[..., None])
    return result


def _order(
    value: np.ndarray, sequence: np.ndarray, position: np.ndarray, key: np.ndarray, ranks: int
) -> tuple[np.ndarray, np.ndarray]:
    """The indices of the best contexts [unit rank], and which of them exist."""
    missing = sequence == NO_SEQUENCE
    order = np.lexsort((position, sequence, -value, missing), axis=1)
    # Among equal keys a stable sort keeps the order, so the best comes first.
    keys = np.take_along_axis(key, order, axis=1)
    by_key = np.argsort(keys, axis=1, kind="stable")
    keys = np.take_along_axis(keys, by_key, axis=1)
    repeats = np.zeros(keys.shape, dtype=bool)
    repeats[:, 1:] = keys[:, 1:] == keys[:, :-1]
    dropped = np.take_along_axis(missing, order, axis=1)
    duplicate = np.empty_like(repeats)
    np.put_along_axis(duplicate, by_key, repeats, axis=1)
    dropped |= duplicate
    kept_first = np.argsort(dropped, axis=1, kind="stable")[:, :ranks]
    return np.take_along_axis(order, kept_first, axis=1), ~np.take_along_axis(dropped, kept_first, axis=1)


def rows_of(extremes: Extremes, units: np.ndarray) -> Extremes:
    """The contexts of some units."""
    chosen = torch.from_numpy(units)
    return Extremes(*(getattr(extremes, name)[chosen] for name in FIELDS))


def set_rows(extremes: Extremes, units: np.ndarray, new: Extremes) -> None:
    """Replace the contexts of some units in place."""
    chosen = torch.from_numpy(units)
    for name in FIELDS:
        getattr(extremes, name)[chosen] = getattr(new, name)
