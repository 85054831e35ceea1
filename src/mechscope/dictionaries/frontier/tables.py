"""Tables of a sweep, for the terminal, the report and the documentation."""

from __future__ import annotations

from collections.abc import Sequence

from mechscope.dictionaries.frontier.comparing import at_l0, compare, levels_of, orders
from mechscope.dictionaries.frontier.figures import WORDS
from mechscope.dictionaries.frontier.points import Point, Sweep
from mechscope.dictionaries.jobs.choices import CHOICES
from mechscope.pages.tables import markdown_table, text_table

Table = list[list[str]]
"""Rows of cells; the first row is the header."""


def level_table(sweep: Sweep) -> Table:
    """FVU at equal L0, and its ratio to that of ReLU."""
    levels = levels_of(sweep)
    found = compare(sweep, levels)
    head = ["architecture", "lr", *(f"FVU at L0 {level:g}" for level in levels), "ratio to ReLU"]
    rows: Table = [head]
    for architecture in sweep.architectures:
        mine = [each for each in found if each.architecture == architecture]
        ratios = ["–" if each.mean_ratio is None else f"{each.mean_ratio:.2f}" for each in mine]
        rows.append(
            [
                WORDS.get(architecture, architecture),
                f"{sweep.learning_rates[architecture]:g}",
                *(_with_range(each.fvu) for each in mine),
                " · ".join(ratios) or "–",
            ]
        )
    return rows


def choice_table(sweep: Sweep) -> Table:
    """FVU with the best coefficients for the active features: the error due to their choice alone."""
    levels = levels_of(sweep)
    rows: Table = [["architecture", *(f"at L0 {level:g}" for level in levels)]]
    for architecture in sweep.architectures:
        lines = [sweep.of(architecture, seed) for seed in sweep.config.seeds]
        cells: list[str] = []
        for level in levels:
            found = [at_l0(line, level, _chosen) for line in lines]
            cells.append(_with_range([value for value in found if value is not None]))
        rows.append([WORDS.get(architecture, architecture), *cells])
    return rows


def _chosen(point: Point) -> float:
    return point.fvu * (1 - (point.refit_gain or 0.0))


def order_table(sweep: Sweep) -> Table:
    """The published orders, and the results here."""
    rows: Table = [["lower FVU at equal L0", "source", "here", "ratio of FVU"]]
    for order in orders(sweep, levels_of(sweep)):
        expected = order.expected
        compared = f" ({order.agreeing} of {len(order.ratios)})" if order.ratios else ""
        rows.append(
            [
                f"{WORDS[expected.better]} than {WORDS[expected.worse]}",
                expected.source,
                f"{order.verdict}{compared}",
                f"{min(order.ratios):.2f} to {max(order.ratios):.2f}" if order.ratios else "–",
            ]
        )
    return rows


def point_table(sweep: Sweep) -> Table:
    """Every point, without measures that some points lack."""
    columns = [
        ("ΔCE (nats)", lambda p: p.delta_ce, ".3f"),
        ("recovered, mean abl.", lambda p: p.recovered_mean, ".3f"),
        ("MMCS", lambda p: p.mmcs, ".3f"),
        ("MMCS back", lambda p: p.mmcs_back, ".3f"),
        ("bias", lambda p: p.bias, ".3f"),
        ("refit gain", lambda p: p.refit_gain, ".2f"),
        ("dead", lambda p: p.dead_share, ".1%"),
    ]
    columns = [column for column in columns if all(column[1](point) is not None for point in sweep.points)]
    several = len(sweep.config.seeds) > 1
    head = ["architecture", "sparsity", *(["seed"] if several else []), "L0", "FVU"]
    rows: Table = [[*head, *(name for name, _, _ in columns)]]
    for architecture in sweep.architectures:
        for point in sorted(sweep.of(architecture), key=lambda point: (point.seed, point.l0)):
            rows.append(
                [
                    WORDS.get(architecture, architecture),
                    _sparsity(point),
                    *([str(point.seed)] if several else []),
                    f"{point.l0:.2f}",
                    f"{point.fvu:.4f}",
                    *(format(value(point), words) for _, value, words in columns),
                ]
            )
    return rows


def rate_table(sweep: Sweep) -> Table:
    """The loss and L0 with each learning rate, for architectures that tried several."""
    rates = list(sweep.config.learning_rates)
    rows: Table = [["architecture", "at", *(f"lr {rate:g}" for rate in rates)]]
    for contender in sweep.config.contenders:
        mine = {point.lr: point for point in sweep.tried if point.architecture == contender.architecture}
        if not mine:
            continue
        best = min(mine.values(), key=lambda point: point.objective)
        cells = [
            f"{mine[rate].objective:.4g} (L0 {mine[rate].l0:.1f}){' ←' if rate == best.lr else ''}"
            if rate in mine
            else "–"
            for rate in rates
        ]
        rows.append([WORDS.get(contender.architecture, contender.architecture), _sparsity(best), *cells])
    return rows


def as_text(table: Table) -> str:
    """Aligned columns: the first to the left, the others to the right."""
    return text_table(table[0], table[1:])


def as_markdown(table: Table) -> str:
    """A Markdown table."""
    return markdown_table(table[0], table[1:])


def _with_range(values: Sequence[float]) -> str:
    if not values:
        return "–"
    mean = sum(values) / len(values)
    return f"{mean:.3f}" if len(values) == 1 else f"{mean:.3f} ({min(values):.3f}–{max(values):.3f})"


def _sparsity(point: Point) -> str:
    return f"{CHOICES[point.architecture].sparsity} {point.sparsity:g}"
