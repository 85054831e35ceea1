"""Write the documentation page about the frontiers."""

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
"""Our remarks about the presets' results."""


def frontiers_page(sweeps: Mapping[str, Sweep], stem: str) -> str:
    """The page in Markdown: the method, the remarks, and one section per sweep.

    Args:
        sweeps: preset → its results.
        stem: beginning of the plots' file names.
    """
    names = " ".join(sweeps)
    sections = "\n".join(_section(name, sweep, stem) for name, sweep in sweeps.items())
    return f"""# Frontiers

Written by `make frontiers`, that is `mechscope sae sweep --preset {names} --docs docs/frontiers.md`.
What reconstruction error do architectures have at the same number of active features? Each point is a dictionary,
trained from scratch and measured on held-out activations; lower at the same L0 is better.

All dictionaries of a section have the same number of features and are trained on the same activations, in the same
order and for the same number of steps, with the same auxiliary loss for dead features. Each architecture uses the
learning rate with the lowest training loss at its middle sparsity. These training runs take minutes, and the
published ones are far longer. Transcoders and crosscoders are left out: they reconstruct something other than their
input, or several layers at once, so their L0 and FVU are not comparable.

## Do the orders agree with the literature?

The verdict, and at how many of the compared L0 (and seeds) the first architecture is better:

{as_markdown(_overview(sweeps))}

{REMARKS.read_text(encoding="utf-8")}
{sections}"""


def _overview(sweeps: Mapping[str, Sweep]) -> Table:
    """The verdict about every published order in every sweep."""
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
    many = "1 seed" if len(seeds) == 1 else f"{len(seeds)} seeds, each with its own features"
    versions = ", ".join(f"{package} {version}" for package, version in sweep.versions.items())
    return f"""## {config.title}

`mechscope sae sweep --preset {name}`: {sweep.words}. {config.d_sae} features, {training.steps} steps of
{config.source.batch_size} activations, {many}, {config.source.held_out:,} held out ({versions}).

{pictures}

At equal L0, interpolated between neighbouring points. The last column has the ratio to the FVU of ReLU at each L0:

{as_markdown(level_table(sweep))}

{as_markdown(order_table(sweep))}

FVU with the best coefficients for the active features, which leaves only the error due to the choice of features.
Where differences are smaller here than above, they were due to sizes.

{as_markdown(choice_table(sweep))}

{_at_the_edge(sweep)}<details><summary>Every point, and how learning rates were chosen</summary>

{as_markdown(point_table(sweep))}

Bias: below 1, reconstructions are too short. Refit gain: the share of the squared error that the best coefficients
for the active features would remove (256 held-out activations).
{_rates(sweep)}
</details>
"""


def _rates(sweep: Sweep) -> str:
    if not sweep.tried:
        return ""
    table = as_markdown(rate_table(sweep))
    return f"\nTraining loss (and L0) at the middle sparsity with each learning rate:\n\n{table}\n"


def _at_the_edge(sweep: Sweep) -> str:
    """Architectures whose best learning rate was the largest or smallest one, so that another might be better."""
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
    return f"{textwrap.fill(words + 'Rates outside of this range were not tried.', 118)}\n\n" if words else ""


def _file(measure: Measure, name: str, stem: str) -> str:
    return f"{stem}-{name}-{measure.name}.svg"
