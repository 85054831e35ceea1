"""Attention patterns of many heads as an interactive view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mechscope.arguments import checked_arguments, shown, visible_token
from mechscope.model.activation_cache import ActivationCache
from mechscope.results.result import Result
from mechscope.viz.colour_scale import ColourScale, scale_for
from mechscope.viz.views._inputs import (
    check_index,
    colour_options,
    names_of,
    numbers_of,
    scale_options,
    texts_of,
)
from mechscope.viz.views._pictures import image, matrix_picture, paragraph, text_html
from mechscope.viz.views.view import View

SMALL_PIXELS = 400_000
"""How many cells the small images of a picture have together at most; those of more are merged into fewer."""


class AttentionView(View):
    """Attention patterns of one or several heads. Made by `mechscope.viz.attention`."""

    heads: tuple[Any, ...]
    """What `selected_head` can be, in the order of the grid: (layer, head) for patterns with layers, otherwise an index
    or the names that were given."""

    @property
    def selected_head(self) -> Any:
        """The enlarged head, one of `heads`."""
        return self.heads[self.selected("selected_head")]

    @selected_head.setter
    def selected_head(self, head: Any) -> None:
        if head not in self.heads:
            raise ValueError(f"there is no head {shown(head)}; the view has {shown(list(self.heads))}.")
        self.select("selected_head", self.heads.index(head))

    @property
    def selected_token(self) -> int | None:
        """The position of the token whose weights are held, or None."""
        return self.selected("selected_token")

    @selected_token.setter
    def selected_token(self, position: int | None) -> None:
        self.select("selected_token", check_index("selected_token", position, len(self.props["tokens"])))

    @property
    def selected_cell(self) -> tuple[int, int] | None:
        """Query and key of the cell that was clicked last, or None."""
        cell = self.selected("selected_cell")
        return None if cell is None else (cell[0], cell[1])


@checked_arguments
def attention(
    pattern: Any,
    tokens: Any = None,
    *,
    layers: Sequence[int] | None = None,
    names: Sequence[str] | None = None,
    causal: bool | None = None,
    scale: Literal["shared", "head"] = "shared",
    minimum: float | None = None,
    maximum: float | None = None,
    positive_colour: str | None = None,
    negative_colour: str | None = None,
    unit: str = "",
    selected_token: int | None = None,
) -> AttentionView:
    """Attention patterns: a grid of heads, the chosen one enlarged, and the text, coloured from the token being read.

    In the grid, layers run upwards, as in every figure.

    Args:
        pattern: a cache (all its layers), a pattern [query key], [head query key] or [layer head query key] of any
            tensor, array or list, a dictionary from names to patterns [query key], or a result with the dims query and
            key. A first axis of size 1 before [head query key] is dropped. Scores may be -∞, which is left blank.
        tokens: a text for each position, from `model.to_str_tokens`; a text for a cache; omitted for a result whose
            coordinates are tokens.
        layers: of a cache, only these.
        names: one per head, instead of L0H3 or H3.
        causal: leave the cells of later keys blank; None does so if all of them are 0.
        scale: one colour scale for all heads, or each head its own. The reader can change it.
        minimum: lower end of the colour scale.
        maximum: upper end; 1 if omitted and all weights are probabilities.
        positive_colour: "#rrggbb" of the largest weights.
        negative_colour: "#rrggbb" of the most negative ones.
        unit: of the values.
        selected_token: a token whose weights are shown first.

    Raises:
        ValueError: for shapes that do not fit each other, no heads or tokens, NaN, or a batch of several examples.
        TypeError: for tokens that are not texts.
        KeyError: for a cache without patterns.

    >>> view = attention([[[1.0, 0.0], [0.25, 0.75]]], ["The", " cat"])
    >>> view.selected_head, view.selected_token
    (0, None)
    """
    array, heads, found_names, columns, tokens = _patterns(pattern, tokens, layers)
    texts = texts_of(tokens)
    _check_shape(array, texts)
    labels = names_of(names, len(array), "heads") if names is not None else found_names
    if causal and (later := np.argwhere(np.triu(np.nan_to_num(array, neginf=0), 1) != 0)).size:
        head, query, key = (int(index) for index in later[0])
        raise ValueError(
            f"causal=True hides later keys, but in {labels[head]} position {query} attends to position {key}."
        )
    options = colour_options(minimum, maximum, positive_colour, negative_colour)
    props: dict[str, Any] = {
        "tokens": texts,
        "names": labels,
        "scale": scale,
        "choosesScale": True,
        "table": True,
        "unit": unit,
        **options,
        **({} if causal is None else {"causal": causal}),
        **({} if columns is None else {"columns": columns}),
    }
    selection = {
        "selected_head": 0,
        "selected_token": check_index("selected_token", selected_token, len(texts)),
        "selected_cell": None,
    }
    words = f"attention of {len(labels)} head{'s' * (len(labels) != 1)} over {len(texts)} tokens"
    view = AttentionView("attention", props, {"patterns": array}, selection, _picture, words)
    view.heads = heads
    return view


def _patterns(
    pattern: Any, tokens: Any, layers: Sequence[int] | None
) -> tuple[NDArray[np.float32], tuple[Any, ...], list[str], int | None, Any]:
    """Patterns [head query key]; what the heads are called in Python and on the page; heads per layer; tokens."""
    if isinstance(pattern, ActivationCache):
        return _of_cache(pattern, tokens, layers)
    if layers is not None:
        raise ValueError("layers= selects layers of a cache; index the pattern instead: pattern[layers].")
    if isinstance(pattern, Result):
        return _of_result(pattern, tokens)
    if isinstance(pattern, Mapping):
        if not pattern:
            raise ValueError("there are no heads in an empty dictionary; give name → pattern [query key].")
        arrays = {
            str(name): numbers_of(one, f"the pattern of {name}", blank=True) for name, one in pattern.items()
        }
        if len({array.shape for array in arrays.values()}) > 1:
            raise ValueError(f"patterns have different shapes: { {n: a.shape for n, a in arrays.items()} }.")
        return np.stack(list(arrays.values())), tuple(arrays), list(arrays), None, tokens
    array = numbers_of(pattern, "the pattern", blank=True)
    if array.ndim == 4 and len(array) == 1:
        array = array[0]
    return (*_named(array), tokens)


def _named(
    array: NDArray[np.float32], layers: Sequence[int] | None = None
) -> tuple[NDArray[np.float32], tuple[Any, ...], list[str], int | None]:
    if array.ndim == 4:
        n_layers, n_heads = array.shape[:2]
        heads = [(layer, head) for layer in layers or range(n_layers) for head in range(n_heads)]
        flat = array.reshape(-1, *array.shape[2:])
        return flat, tuple(heads), [f"L{layer}H{head}" for layer, head in heads], n_heads
    if array.ndim not in (2, 3):
        raise ValueError(
            "a pattern is [query key] for one head, [head query key] for several, or [layer head query key]; "
            f"this one has shape {array.shape}."
        )
    array = array[None] if array.ndim == 2 else array
    return array, tuple(range(len(array))), [f"H{head}" for head in range(len(array))], None


def _of_cache(
    cache: ActivationCache, tokens: Any, layers: Sequence[int] | None
) -> tuple[NDArray[np.float32], tuple[Any, ...], list[str], int | None, Any]:
    kept = [layer for layer in range(cache.model.cfg.n_layers) if ("pattern", layer) in cache]
    if not kept and layers is None:
        raise KeyError(
            "this cache holds no attention patterns; run the model with a names_filter that keeps hook_pattern."
        )
    chosen = kept if layers is None else [layer % cache.model.cfg.n_layers for layer in layers]
    stack = [
        numbers_of(cache["pattern", layer], f"the pattern of layer {layer}", blank=True) for layer in chosen
    ]
    if stack[0].ndim == 4:
        if len(stack[0]) > 1:
            raise ValueError(
                f"this cache holds {len(stack[0])} examples, and a view shows one: run the model on one text, or give "
                "the pattern of one example, such as cache['pattern', 0][example]."
            )
        stack = [one[0] for one in stack]
    if isinstance(tokens, str):
        tokens = cache.model.to_str_tokens(tokens)
    return (*_named(np.stack(stack), chosen), tokens)


def _of_result(
    result: Result, tokens: Any
) -> tuple[NDArray[np.float32], tuple[Any, ...], list[str], int | None, Any]:
    dims = tuple(str(dim) for dim in result.values.dims)
    allowed = [("query", "key"), ("head", "query", "key"), ("layer", "head", "query", "key")]
    if dims not in allowed:
        raise ValueError(
            f"{result.title!r} has dims {dims}; attention has (query, key), preceded by head, or by layer and head."
        )
    array = numbers_of(result.values.values, result.title, blank=True)
    flat, heads, names, columns = _named(array)
    if dims[0] != "query":
        axes = [result.values.coords[dim].values.tolist() for dim in dims[:-2]]
        heads = (
            tuple(axes[0])
            if len(axes) == 1
            else tuple((layer, head) for layer in axes[0] for head in axes[1])
        )
        names = [f"L{one[0]}H{one[1]}" if len(axes) == 2 else f"H{one}" for one in heads]
    if tokens is None:
        tokens = [str(token) for token in result.values.coords["query"].values]
    return flat, heads, names, columns, tokens


def _check_shape(array: NDArray[np.float32], texts: Sequence[str]) -> None:
    queries, keys = array.shape[1:]
    if queries != keys:
        raise ValueError(
            f"a pattern has as many keys as queries, and this one has {queries} queries and {keys} keys; with a "
            "key/value cache, run the whole text at once."
        )
    if len(texts) != queries:
        raise ValueError(
            f"there are {len(texts)} tokens, and the pattern has {queries} positions; model.to_str_tokens(text) gives "
            "the tokens that the model read, with BOS if it was prepended."
        )
    wrong = np.argwhere(np.isnan(array) | np.isposinf(array))
    if wrong.size:
        head, query, key = (int(index) for index in wrong[0])
        raise ValueError(f"the pattern has NaN or infinity in head {head} at query {query}, key {key}.")


def shared_scale(array: NDArray[np.float32], props: Mapping[str, Any]) -> ColourScale:
    """One scale for all heads, from 0 to 1 for probabilities."""
    known = array[np.isfinite(array)]
    options: dict[str, Any] = scale_options(props)
    if known.min(initial=0) >= 0 and known.max(initial=0) <= 1.0001:
        options = {"minimum": 0.0, "maximum": 1.0, **options}
    return scale_for(known, **options)


def _picture(props: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    array, names = arrays["patterns"], props["names"]
    labels = [f"{visible_token(token)} ({index})" for index, token in enumerate(props["tokens"])]
    shared = shared_scale(array, props)
    large = matrix_picture(
        array[0],
        labels,
        labels,
        shared,
        f"{names[0]}: from each token (row) to each token (column)",
        props["unit"],
    )
    if len(names) == 1:
        return large
    small: list[str] = []
    per_row = props.get("columns", len(names))
    step = max(1, int(np.ceil(np.sqrt(array.size / SMALL_PIXELS))))
    for name, pattern in zip(names, array, strict=True):
        scale = shared if props["scale"] == "shared" else scale_for(pattern, **scale_options(props))
        picture = image(_merged(pattern, step), scale, str(name), width=72)
        small.append(
            f'<figure style="display:inline-block;margin:2px;padding:0;border:0;background:none">{picture}'
            f'<figcaption style="font-size:11px;text-align:center;margin:0">{text_html(name)}</figcaption></figure>'
        )
    rows = ["".join(small[start : start + per_row]) for start in range(0, len(small), per_row)]
    grid = "".join(f"<div>{row}</div>" for row in reversed(rows))  # layers run upwards
    return paragraph(f"Attention of {len(names)} heads") + grid + large


def _merged(pattern: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """The largest weight (by size) of each square of step × step cells."""
    if step == 1:
        return pattern
    size = -(-len(pattern) // step) * step
    padded = np.zeros((size, size), dtype=np.float32)
    padded[: len(pattern), : len(pattern)] = np.where(np.isfinite(pattern), pattern, 0)
    blocks = padded.reshape(size // step, step, size // step, step)
    high, low = blocks.max((1, 3)), blocks.min((1, 3))
    return np.where(high >= -low, high, low)
