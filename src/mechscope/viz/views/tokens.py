"""Tokens of a text, coloured by values, as an interactive view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mechscope.arguments import checked_arguments, shown
from mechscope.results.result import Result
from mechscope.viz.colour_scale import scale_for
from mechscope.viz.views._inputs import (
    check_index,
    colour_options,
    names_of,
    numbers_of,
    scale_options,
    texts_of,
)
from mechscope.viz.views._pictures import paragraph, tokens_picture
from mechscope.viz.views.view import View


class TokensView(View):
    """A text whose tokens are coloured. Made by `mechscope.viz.tokens`."""

    @property
    def selected_token(self) -> int | None:
        """The position of the token that was clicked last, or None."""
        return self.selected("selected_token")

    @selected_token.setter
    def selected_token(self, position: int | None) -> None:
        self.select("selected_token", check_index("selected_token", position, len(self.props["tokens"])))

    @property
    def shown_value(self) -> str | int:
        """The kind of value that colours the text: its name, or its index without names."""
        kind = self.selected("shown_value")
        return self.props["names"][kind] if self.props["names"] else kind

    @shown_value.setter
    def shown_value(self, name: str) -> None:
        if name not in self.props["names"]:
            raise ValueError(f"there is no value {shown(name)}; the view has {self.props['names']}.")
        self.select("shown_value", self.props["names"].index(name))


@checked_arguments
def tokens(
    tokens: Any,
    values: Any = None,
    *,
    names: Sequence[str] | None = None,
    unit: str = "",
    tooltips: Sequence[str] | None = None,
    line_breaks: bool = True,
    minimum: float | None = None,
    maximum: float | None = None,
    positive_colour: str | None = None,
    negative_colour: str | None = None,
    selected_token: int | None = None,
) -> TokensView:
    """A text whose tokens are coloured by a value each; with several values per token, the reader chooses one of them.

    Args:
        tokens: a text for each position, from `model.to_str_tokens`.
        values: one number per token [pos], several [pos value], or a dictionary from names to numbers [pos]: a tensor,
            an array, a list or a result with the dim pos. NaN or None leaves a token without a colour.
        names: what the values are, if there are several.
        unit: of the values.
        tooltips: a text for each token, shown instead of its position and value.
        line_breaks: break the line after tokens that end with a line break.
        minimum: the value with the palest colour, or the strongest negative one.
        maximum: the value with the strongest colour.
        positive_colour: "#rrggbb" of the largest values.
        negative_colour: "#rrggbb" of the most negative ones.
        selected_token: a token that is marked first.

    Raises:
        ValueError: for values or tooltips that do not fit the tokens, or no tokens.
        TypeError: for tokens that are not texts.

    >>> tokens(["The", " cat"], [0.5, 2.25], unit="nats").selected_token is None
    True
    """
    texts = texts_of(tokens)
    array, found = _values(values, len(texts), names)
    if tooltips is not None and len(tooltips) != len(texts):
        raise ValueError(f"there are {len(tooltips)} tooltips for {len(texts)} tokens; give one for each.")
    props: dict[str, Any] = {
        "tokens": texts,
        "names": found,
        "unit": unit,
        "lineBreaks": line_breaks,
        **({} if tooltips is None else {"tooltips": list(tooltips)}),
        **colour_options(minimum, maximum, positive_colour, negative_colour),
    }
    selection = {
        "selected_token": check_index("selected_token", selected_token, len(texts)),
        "shown_value": 0,
    }
    arrays = {} if array is None else {"values": array}
    return TokensView("tokens", props, arrays, selection, _picture, f"text of {len(texts)} tokens")


def _values(
    values: Any, count: int, names: Sequence[str] | None
) -> tuple[NDArray[np.float32] | None, list[str]]:
    """Values [kind pos] and the names of their kinds."""
    if values is None:
        return None, []
    if isinstance(values, Mapping):
        if names is not None:
            raise ValueError("a dictionary of values has its own names; leave names= out.")
        if not values:
            raise ValueError("there are no values in an empty dictionary; give name → one number per token.")
        rows = {
            str(name): numbers_of(row, f"the values of {name!r}", blank=True) for name, row in values.items()
        }
        for name, row in rows.items():
            _check_count(row.shape, count, f"{name!r}")
        return np.stack(list(rows.values())), list(rows)
    array = numbers_of(values.values if isinstance(values, Result) else values, "the values", blank=True)
    if array.ndim == 1:
        _check_count(array.shape, count, "the values")
        return array[None], [] if names is None else names_of(names, 1, "kinds of values")
    if array.ndim != 2 or len(array) != count:
        raise ValueError(
            f"values of shape {array.shape} do not fit {count} tokens: give [pos] with one number per token, "
            "[pos value] with several, or a dictionary from names to numbers [pos]."
        )
    return np.ascontiguousarray(array.T), names_of(names, array.shape[1], "values per token", "value ")


def _check_count(shape: tuple[int, ...], count: int, what: str) -> None:
    if shape != (count,):
        raise ValueError(
            f"{what} must have one number for each of {count} tokens, and has shape {shape}. The loss of each next "
            "token has one entry less than there are tokens: put NaN in front."
        )


def _picture(props: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    texts, names, unit, titles = props["tokens"], props["names"], props["unit"], props.get("tooltips")
    parts: list[str] = []
    for index, row in enumerate(arrays.get("values", [None])):
        scale = None if row is None else scale_for(row, **scale_options(props))
        if len(names) > 1:
            parts.append(paragraph(f"{names[index]}:"))
        text = tokens_picture(texts, row, scale, titles=titles, unit=unit, line_breaks=props["lineBreaks"])
        parts.append(text)
    return "".join(parts)
