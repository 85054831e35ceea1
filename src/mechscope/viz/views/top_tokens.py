"""The top tokens of positions, neurons or features as an interactive table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mechscope.arguments import checked_arguments, shown
from mechscope.viz.colour_scale import ColourScale, scale_for, text_on
from mechscope.viz.views._inputs import colour_options, names_of, numbers_of, scale_options
from mechscope.viz.views._pictures import number_text, paragraph, text_html, token_html
from mechscope.viz.views.view import View


class TopTokensView(View):
    """A table of top tokens. Made by `mechscope.viz.top_tokens`."""

    @property
    def selected_cell(self) -> tuple[int, int] | None:
        """Column and rank (0 is the highest) of the token that was clicked last, or None."""
        cell = self.selected("selected_cell")
        return None if cell is None else (cell[0], cell[1])

    @property
    def selected_group(self) -> str:
        """The name of the table that is shown."""
        return self.props["groups"][self.selected("selected_group")]["name"]

    @selected_group.setter
    def selected_group(self, name: str) -> None:
        groups = [group["name"] for group in self.props["groups"]]
        if name not in groups:
            raise ValueError(f"there is no table {shown(name)}; the view has {shown(groups)}.")
        self.select("selected_group", groups.index(name))

    @property
    def selected_text(self) -> str | None:
        """The token that was clicked last, or None."""
        if self.selected_cell is None:
            return None
        column, rank = self.selected_cell
        group = self.props["groups"][self.selected("selected_group")]
        return group["columns"][column]["top"][rank]["token"]


@checked_arguments
def top_tokens(
    values: Any,
    vocabulary: Any,
    columns: Sequence[str] | None = None,
    *,
    k: int = 10,
    smallest: bool = False,
    title: str = "top tokens",
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    positive_colour: str | None = None,
    negative_colour: str | None = None,
) -> TopTokensView:
    """A table with the k tokens of the largest values in each column: of each position, neuron or feature.

    Args:
        values: [column token], such as the logits [pos d_vocab] of one text or the activations [feature pos] on it; one
            column [token]; or several tables: a dictionary from names to values, or [table column token], such as one
            per layer.
        vocabulary: what the last axis counts: a text for each entry, or a model or tokenizer for its vocabulary.
        columns: names of the columns, such as the tokens of the text; counted from 0 if omitted.
        k: how many tokens per column.
        smallest: the smallest values instead of the largest.
        title: what the table shows.
        unit: of the values.
        minimum: lower end of the colour scale.
        maximum: upper end of the colour scale.
        positive_colour: "#rrggbb" of the largest values.
        negative_colour: "#rrggbb" of the most negative ones.

    Raises:
        ValueError: for shapes that do not fit each other, NaN, or k below 1.

    >>> view = top_tokens([[0.1, 2.0, 0.3]], [" a", " b", " c"], ["The"], k=2)
    >>> [entry["token"] for entry in view.props["groups"][0]["columns"][0]["top"]]
    [' b', ' c']
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}.")
    tables = _tables(values)
    texts = _Vocabulary(vocabulary)
    groups: list[dict[str, Any]] = []
    for name, table in tables.items():
        texts.check(table.shape[1])
        order = np.argsort(table if smallest else -table, axis=-1, kind="stable")[:, :k]
        headings = names_of(columns, len(table), "columns")
        found = [
            {"name": heading, "top": [{"token": texts[int(i)], "value": float(row[i])} for i in best]}
            for heading, row, best in zip(headings, table, order, strict=True)
        ]
        groups.append({"name": name, "columns": found})
    props = {
        "groups": groups,
        "caption": title,
        "unit": unit,
        **colour_options(minimum, maximum, positive_colour, negative_colour),
    }
    words = f"{title}: {len(groups[0]['columns'])} columns" + (
        f" in {len(groups)} tables" if len(groups) > 1 else ""
    )
    return TopTokensView(
        "top_tokens", props, {}, {"selected_cell": None, "selected_group": 0}, _picture, words
    )


class _Vocabulary:
    """Texts by index: a list, or what a model or tokenizer decodes."""

    def __init__(self, given: Any) -> None:
        tokenizer = getattr(given, "tokenizer", given)
        self.decode = getattr(tokenizer, "decode", None)
        self.texts: list[str] = []
        if self.decode is None:
            if given is None or isinstance(given, str) or not hasattr(given, "__len__"):
                raise TypeError(
                    "vocabulary must be a list with a text for each entry, or a model or tokenizer, "
                    f"not {shown(given)}."
                )
            self.texts = [str(text) for text in given]

    def check(self, count: int) -> None:
        """A list must have a text for each entry."""
        if self.decode is None and len(self.texts) != count:
            raise ValueError(f"the vocabulary has {len(self.texts)} texts for {count} values per column.")

    def __getitem__(self, index: int) -> str:
        return self.texts[index] if self.decode is None else str(self.decode([index]))


def _tables(values: Any) -> dict[str, NDArray[np.float32]]:
    """Name → [column token]."""
    if isinstance(values, Mapping):
        if not values:
            raise ValueError("there are no tables in an empty dictionary; give name → values [column token].")
        return {
            str(name): _matrix(numbers_of(one, f"the values of {name!r}")) for name, one in values.items()
        }
    array = numbers_of(values, "the values")
    if array.ndim == 3:
        return {str(index): table for index, table in enumerate(array)}
    return {"": _matrix(array)}


def _matrix(array: NDArray[np.float32]) -> NDArray[np.float32]:
    array = array[None] if array.ndim == 1 else array
    if array.ndim != 2:
        raise ValueError(
            f"values are [column token], or [table column token] for several tables, not shape {array.shape}."
        )
    return array


def _picture(props: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    parts: list[str] = []
    for group in props["groups"]:
        columns = group["columns"]
        scale = scale_for(
            [one["value"] for column in columns for one in column["top"]], **scale_options(props)
        )
        unit = f"({props['unit']})" if props["unit"] else ""
        top = "".join(f'<th scope="col">{token_html(column["name"])}</th>' for column in columns)
        lines = [f'<tr><th scope="col">rank</th>{top}</tr>']
        for rank in range(len(columns[0]["top"])):
            cells = "".join(f"<td>{_cell(column['top'][rank], scale)}</td>" for column in columns)
            lines.append(f'<tr><th scope="row">{rank + 1}</th>{cells}</tr>')
        heading = paragraph(" ".join(filter(None, [props["caption"], group["name"], unit])))
        style = "border-collapse:collapse;width:auto;font-size:13px;white-space:pre"
        parts.append(f'{heading}<table style="{style}">{"".join(lines)}</table>')
    return "".join(parts)


def _cell(entry: Mapping[str, Any], scale: ColourScale) -> str:
    value = entry["value"]
    colour = f"background:{scale.hex(value)};color:{text_on(scale.colours(value))}"
    return f'<span dir="auto" style="{colour}">{token_html(entry["token"])}</span> {text_html(number_text(value))}'
