"""The comparison of methods on a trained model as a Markdown page with a plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mechscope.pages.tables import markdown_table
from mechscope.pages.text_template import fill_page
from mechscope.scoreboard.methods import METHODS
from mechscope.scoreboard.unknown_circuit import COMPARED, LARGE, REFERENCE, Comparison
from mechscope.viz.figure_svg import figure_svg

TEMPLATE = Path(__file__).with_suffix(".md")
SHOWN = 8
"""How many of the reference's heads the page names."""


def comparison_plot(found: Comparison) -> str:
    """How well the methods agree on the order of the heads, as SVG text."""
    return figure_svg(found.rank_agreement().figure())


def comparison_page(found: Comparison, plot: str = "") -> str:
    """Markdown with the tables, and what they can and cannot show.

    Args:
        found: the comparison.
        plot: path of the image relative to the page; empty for none.
    """
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
    return fill_page(
        TEMPLATE,
        model=found.scores.provenance.model,
        heads=int(scores.sizes["layer"] * scores.sizes["head"]),
        examples=found.examples,
        large=LARGE,
        important=found.n_important,
        reference=METHODS[REFERENCE].words,
        strongest=", ".join(f"a{layer}.h{head} ({effects[layer, head]:+.2f})" for layer, head in best),
        plot=f"![Agreement between methods on the order of the heads]({plot})" if plot else "",
        table=markdown_table(titles, rows),
        matched=markdown_table(["method", *(f"{size} heads" for size in sizes)], matched),
        not_run=markdown_table(
            ["method", "why", "estimated CPU hours"],
            [[one.words, one.reason, f"{one.hours:.1f}"] for one in found.not_run],
        ),
        minutes=sum(found.seconds.values()) / 60,
    )
