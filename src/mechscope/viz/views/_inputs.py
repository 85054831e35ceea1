"""What the views accept: tensors, arrays, lists, caches and results, checked before anything is drawn."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mechscope.arguments import is_array, shown
from mechscope.results.arrays import as_array

_HEX = re.compile(r"#[0-9a-fA-F]{6}")


def texts_of(tokens: Any, what: str = "tokens") -> list[str]:
    """Tokens as a list of texts.

    Raises:
        TypeError: for token ids, or one text.
        ValueError: if there are none.
    """
    if isinstance(tokens, str):
        raise TypeError(
            f"{what} must be a list with one text per token, not the text {shown(tokens)}; "
            "model.to_str_tokens(text) makes it."
        )
    if is_array(tokens) and as_array(tokens).dtype.kind in "iuf":
        raise TypeError(
            f"{what} must be texts, not {shown(tokens)}; model.to_str_tokens(ids) turns token ids into texts."
        )
    texts = list(tokens)
    if wrong := next((token for token in texts if not isinstance(token, str)), None):
        raise TypeError(
            f"{what} must be texts, not {shown(wrong)}; model.to_str_tokens(ids) turns token ids into texts."
        )
    if not texts:
        raise ValueError(f"there are no {what}, so there is nothing to show.")
    return [str(text) for text in texts]


def numbers_of(values: Any, what: str, *, blank: bool = False) -> NDArray[np.float32]:
    """Numbers of any source as float32.

    Args:
        values: a tensor of any device and type, an array, or nested lists; None in a list stands for a missing value.
        what: what they are, for errors.
        blank: accept NaN and infinity, which are left blank.

    Raises:
        ValueError: if there are none, lists have unequal lengths, or numbers are NaN or infinite.
    """
    try:
        array = as_array(values)
        if array.dtype == object:  # None in a list
            array = np.array(values, dtype=np.float64)
        array = array.astype(np.float32)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{what} must be numbers in rows of equal length, not {shown(values)}.") from error
    if not array.size:
        raise ValueError(f"{what} of shape {array.shape} has no numbers, so there is nothing to show.")
    if not blank and not np.isfinite(array).all():
        place = tuple(int(index) for index in np.argwhere(~np.isfinite(array))[0])
        found = "NaN" if np.isnan(array[place]) else "an infinite value"
        raise ValueError(
            f"{what} of shape {array.shape} has {found} at {list(place)}; check how it was computed."
        )
    return array


def names_of(names: Sequence[object] | None, count: int, what: str, otherwise: str = "") -> list[str]:
    """Names as texts; counted from 0 if there are none.

    Raises:
        ValueError: if their number is wrong.
    """
    found = (
        [f"{otherwise}{index}" for index in range(count)] if names is None else [str(name) for name in names]
    )
    if len(found) != count:
        raise ValueError(f"there are {len(found)} names for {count} {what}; give one name for each.")
    return found


def colour_options(
    minimum: float | None, maximum: float | None, positive_colour: str | None, negative_colour: str | None
) -> dict[str, Any]:
    """The props of a colour scale, without those that are None.

    Raises:
        ValueError: for colours that are not "#rrggbb", or limits in the wrong order.
    """
    for name, colour in (("positive_colour", positive_colour), ("negative_colour", negative_colour)):
        if colour is not None and not (isinstance(colour, str) and _HEX.fullmatch(colour)):
            raise ValueError(f"{name} must be written as '#rrggbb', such as '#d55e00', not {shown(colour)}.")
    if minimum is not None and maximum is not None and not minimum < maximum:
        raise ValueError(f"minimum={minimum:g} must be less than maximum={maximum:g}.")
    given = {"minimum": minimum, "maximum": maximum, "positive": positive_colour, "negative": negative_colour}
    return {name: value for name, value in given.items() if value is not None}


def scale_options(props: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `scale_for` among the props of a view."""
    return {name: props[name] for name in ("minimum", "maximum", "positive", "negative") if name in props}


def check_index(name: str, value: Any, count: int) -> int | None:
    """An index of a token, head or the like, or None.

    Raises:
        ValueError: if there is no such entry.
    """
    if value is None:
        return None
    if not isinstance(value, (int, np.integer)) or not 0 <= value < count:
        raise ValueError(f"{name} must be a whole number from 0 to {count - 1}, not {shown(value)}.")
    return int(value)
