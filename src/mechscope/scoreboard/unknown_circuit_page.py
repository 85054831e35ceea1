"""The comparison of methods on a trained model as a Markdown page with a plot."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mechscope.pages.tables import markdown_table
from mechscope.pages.text_template import fill_page
from mechscope.reading import read_json_object
from mechscope.storage.files import write_atomically

if TYPE_CHECKING:  # a page that shows tables must not wait for torch
    from mechscope.scoreboard.unknown_circuit import Comparison

FORMAT = "mechscope comparison tables 1"
TEMPLATE = Path(__file__).with_suffix(".md")
SHOWN = 8
"""How many of the reference's heads the page names."""


def comparison_plot(found: Comparison) -> str:
    """How well the methods agree on the order of the heads, as SVG text."""
    from mechscope.viz.figure_svg import figure_svg

    return figure_svg(found.rank_agreement().figure())


def comparison_page(found: Comparison | Mapping[str, Any], plot: str = "") -> str:
    """Markdown with the tables, and what they can and cannot show.

    Args:
        found: the comparison, or what `comparison_tables` made of it.
        plot: path of the image relative to the page; empty for none.
    """
    tables = dict(found) if isinstance(found, Mapping) else comparison_tables(found)
    for name in ("table", "matched", "not_run"):
        tables[name] = markdown_table(tables[name]["titles"], tables[name]["rows"])
    picture = f"![Agreement between methods on the order of the heads]({plot})" if plot else ""
    return fill_page(TEMPLATE, plot=picture, **tables)


def comparison_tables(found: Comparison) -> dict[str, Any]:
    """What the page says in words and numbers, as plain JSON values; tables have `titles` and `rows`."""
    from mechscope.scoreboard.methods import METHODS
    from mechscope.scoreboard.unknown_circuit import COMPARED, LARGE, REFERENCE

    agreement = found.with_reference()
    scores = found.scores.values
    sizes = [int(size) for size in found.faithfulness.values.coords["heads"].values]
    rows = [
        [
            COMPARED[name].words,
            f"{rho:.2f}",
            f"{area:.2f}",
            *(f"{value:.2f}" for value in own),
            f"{found.seconds[name]:.1f}",
        ]
        for (name, (rho, area)), own in zip(agreement.items(), found.faithfulness.values.values, strict=True)
    ]
    null = found.random_null.values
    nulls = [
        f"{mean:.2f} ({low:.2f} to {high:.2f})"
        for mean, low, high in zip(
            *(null.sel(series=series).values for series in ("mean", "lowest", "highest")), strict=True
        )
    ]
    rows.append(["random heads: mean and range", "", "", *nulls, ""])
    matched = [
        [COMPARED[name].words, *(f"{value:.2f}" for value in values)]
        for name, values in zip(found.seconds, found.matched_null.values.values, strict=True)
    ]
    effects = found.reference.values.to_series()
    best: Any = effects.abs().sort_values(ascending=False).index[:SHOWN]
    titles = ["method", "ρ with patching", "AUROC", *(f"{size} heads" for size in sizes), "CPU s"]
    return {
        "model": found.scores.provenance.model,
        "heads": int(scores.sizes["layer"] * scores.sizes["head"]),
        "examples": found.examples,
        "large": LARGE,
        "important": found.n_important,
        "reference": METHODS[REFERENCE].words,
        "strongest": ", ".join(f"a{layer}.h{head} ({effects[layer, head]:+.2f})" for layer, head in best),
        "table": {"titles": titles, "rows": rows},
        "matched": {"titles": ["method", *(f"{size} heads" for size in sizes)], "rows": matched},
        "not_run": {
            "titles": ["method", "why", "estimated CPU hours"],
            "rows": [[one.words, one.reason, f"{one.hours:.1f}"] for one in found.not_run],
        },
        "minutes": sum(found.seconds.values()) / 60,
    }


def save_comparison(tables: Mapping[str, Any], path: Path) -> Path:
    """Write what `comparison_tables` made as JSON."""
    return write_atomically(
        path, json.dumps({"format": FORMAT, **tables}, indent=1, ensure_ascii=False) + "\n"
    )


def read_comparison(path: Path) -> dict[str, Any]:
    """Read what `save_comparison` wrote.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it has another format.
    """
    content = read_json_object(path, fix="Run `make real-model`.")
    if content.pop("format", None) != FORMAT:
        raise ValueError(f"{path} does not say format {FORMAT!r}. Run `make real-model`.")
    return content
