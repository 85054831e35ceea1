"""Write report.html of a sweep: frontiers and tables on one self-contained page."""

from __future__ import annotations

from pathlib import Path

from mechscope.dictionaries.frontier.figures import frontier_figures
from mechscope.dictionaries.frontier.points import Sweep
from mechscope.dictionaries.frontier.tables import (
    Table,
    choice_table,
    level_table,
    order_table,
    point_table,
    rate_table,
)
from mechscope.pages.figures import PageFigure, figure_html
from mechscope.pages.frame import render_page
from mechscope.storage.files import write_atomically


def render_sweep_report(sweep: Sweep) -> str:
    """The page as one self-contained HTML document."""
    figures = [
        figure_html(PageFigure(name, figure, measure.caption))
        for name, (figure, measure) in frontier_figures(sweep).items()
    ]
    training = sweep.config.training
    return render_page(
        Path(__file__).with_suffix(".html"),
        sweep=sweep,
        activations=f"{training.steps * sweep.config.source.batch_size:,}",
        figures=figures,
        tables=_tables(sweep),
        facts=_facts(sweep),
    )


def write_sweep_report(sweep: Sweep, path: Path) -> Path:
    """Write the page."""
    return write_atomically(path, render_sweep_report(sweep))


def _tables(sweep: Sweep) -> list[tuple[str, str, Table]]:
    tables = [
        (
            "At equal L0",
            "Interpolated between neighbouring points (linearly in the logarithms). Ratio to ReLU: the ratio of FVU at "
            "each L0; below 1 is better. Ranges are over seeds.",
            level_table(sweep),
        )
    ]
    ordered = order_table(sweep)
    if len(ordered) > 1:
        tables.append(
            (
                "Does the order agree with the literature?",
                "At each of these L0 and for each seed: does the first one have the lower FVU? The published results "
                "are for large language models and long training runs.",
                ordered,
            )
        )
    if all(point.refit_gain is not None for point in sweep.points):
        tables.append(
            (
                "Choice or size?",
                "FVU with the best coefficients for the active features, which leaves only the error due to the choice "
                "of features.",
                choice_table(sweep),
            )
        )
    if sweep.tried:
        tables.append(
            (
                "How learning rates were chosen",
                "Each architecture's own training loss at its middle sparsity, over the last tenth of the steps; the "
                "rate with the lowest is used. Losses of different architectures are not comparable.",
                rate_table(sweep),
            )
        )
    tables.append(
        (
            "Every point",
            "Bias: below 1, reconstructions are too short. Refit gain: the share of the squared error that the best "
            "coefficients for the active features would remove. Dead: never active on held-out activations.",
            point_table(sweep),
        )
    )
    return tables


def _facts(sweep: Sweep) -> list[tuple[str, str]]:
    config = sweep.config
    training = config.training
    seeds = ", ".join(map(str, config.seeds))
    return [
        ("Activations", sweep.words),
        ("Held out", f"{config.source.held_out:,} activations or tokens"),
        (
            "Training",
            f"{training.steps} steps of {config.source.batch_size}, dead features: {training.revive}",
        ),
        ("Seeds", seeds),
        ("Time", f"{sweep.minutes:.1f} minutes of training"),
        ("Versions", ", ".join(f"{package} {version}" for package, version in sweep.versions.items())),
    ]
