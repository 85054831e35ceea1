"""The frontiers as a page of the docs."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

from mechscope.dictionaries.frontier.figures import WORDS, Measure, drawn_measures
from mechscope.dictionaries.frontier.plot import frontier_svg
from mechscope.dictionaries.frontier.points import Sweep
from mechscope.dictionaries.frontier.tables import (
    Table,
    as_markdown,
    choice_table,
    level_table,
    order_table,
    point_table,
    rate_table,
)

REMARKS = Path(__file__).with_name("remarks.md")
"""What the developers make of the presets."""


def frontiers_page(sweeps: Mapping[str, Sweep], stem: str) -> str:
    """Markdown: what was done, a section a sweep, and what it shows.

    Args:
        sweeps: preset → what it found.
        stem: what the plots' names begin with.
    """
    names = " ".join(sweeps)
    sections = "\n".join(_section(name, sweep, stem) for name, sweep in sweeps.items())
    return f"""# Frontiers

Written by `make frontiers`, that is `mechscope sae sweep --preset {names} --docs docs/frontiers.md`. What does an
architecture pay for few active features? Each point is a dictionary, trained from nothing and measured on activations
that were held out; lower at the same L0 is better.

All dictionaries of a section have the same number of features, learnt from the same activations in the same order and
in as many steps, and their dead features are helped by the same auxiliary loss. Learning rates were tried on each
architecture at its middle sparsity; it took the one with which its own training loss was lowest. These are trainings of
minutes, and the published ones are far longer. Transcoders and crosscoders are not here: they reconstruct something
else than they read, or several places at once, so their L0 and FVU are on other scales.

## Do the published orders come out?

In words, and at how many of the L0 (and seeds) that are compared:

{as_markdown(_overview(sweeps))}

{REMARKS.read_text(encoding="utf-8")}
{sections}"""


def _overview(sweeps: Mapping[str, Sweep]) -> Table:
    """Every published order in every sweep."""
    found = {name: order_table(sweep) for name, sweep in sweeps.items()}
    rows: Table = [["lower FVU at equal L0", "source", *sweeps]]
    for order, source in dict.fromkeys((row[0], row[1]) for table in found.values() for row in table[1:]):
        cells = [
            next((row[2] for row in table if row[0] == order), "not compared") for table in found.values()
        ]
        rows.append([order, source, *cells])
    return rows


def plots(sweep: Sweep, name: str, stem: str) -> dict[str, str]:
    """File name → SVG image."""
    return {_file(measure, name, stem): frontier_svg(sweep, measure) for measure in drawn_measures(sweep)}


def _section(name: str, sweep: Sweep, stem: str) -> str:
    config = sweep.config
    training, seeds = config.training, config.seeds
    pictures = "\n\n".join(
        f"![{measure.title}: L0 against {measure.axis}]({_file(measure, name, stem)})"
        for measure in drawn_measures(sweep)
    )
    many = "1 seed" if len(seeds) == 1 else f"{len(seeds)} seeds, each with features of its own"
    versions = ", ".join(f"{package} {version}" for package, version in sweep.versions.items())
    return f"""## {config.title}

`mechscope sae sweep --preset {name}`: {sweep.words}. {config.d_sae} features, {training.steps} steps of
{config.source.batch_size} activations, {many}, {config.source.held_out:,} held out ({versions}).

{pictures}

At equal L0, read off between neighbouring points; beside ReLU stands the ratio of FVU at each of these L0:

{as_markdown(level_table(sweep))}

{as_markdown(order_table(sweep))}

FVU if the features that were active got their best coefficients: what is lost by choosing these features, and not by
their sizes. Smaller differences here than above are differences of size.

{as_markdown(choice_table(sweep))}

{_at_the_edge(sweep)}<details><summary>Every point, and how learning rates were chosen</summary>

{as_markdown(point_table(sweep))}

Bias: below 1, reconstructions are too short. Refit gain: the share of the squared error that goes away if the active
features get their best coefficients (256 held-out activations).
{_rates(sweep)}
</details>
"""


def _rates(sweep: Sweep) -> str:
    if not sweep.tried:
        return ""
    table = as_markdown(rate_table(sweep))
    return f"\nTraining loss (and L0) at the middle sparsity with each learning rate:\n\n{table}\n"


def _at_the_edge(sweep: Sweep) -> str:
    """Who took the largest or the smallest learning rate that was tried, and might have liked another."""
    rates = sweep.config.learning_rates
    if len(rates) < 2:
        return ""
    words = ""
    for edge, name in ((max(rates), "largest"), (min(rates), "smallest")):
        those = [WORDS[each] for each, rate in sweep.learning_rates.items() if rate == edge]
        if those:
            words += (
                f"The {name} learning rate that was tried ({edge:g}) was the best for {', '.join(those)}. "
            )
    return f"{textwrap.fill(words + 'Beyond the edge nothing was tried.', 118)}\n\n" if words else ""


def _file(measure: Measure, name: str, stem: str) -> str:
    return f"{stem}-{name}-{measure.name}.svg"
