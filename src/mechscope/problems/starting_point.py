"""What the starter of a problem measures and draws, and how a starter is run."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from rich.console import Console

from mechscope.pages.figures import DrawnFigure, PageFigure, draw_figure, figure_html, set_height
from mechscope.pages.formatting import number
from mechscope.pages.frame import render_page
from mechscope.problems.measurement import FILE, MOST_BYTES_OF_A_READER, write_measurement
from mechscope.storage.files import write_atomically

HERE = Path(__file__).parent
TEMPLATE = HERE / "templates" / "first_plot.html"
PLOT = "first_plot.html"
MOST_NUMBERS = 4


@dataclass(frozen=True)
class StartingPoint:
    """Where work on a problem starts: the numbers to beat, and a first figure.

    Raises:
        ValueError: for a number that is not finite, more than four of them, or a figure without a title or caption.

    >>> from mechscope import viz
    >>> figure = viz.curves([0, 1], {"loss": [3.2, 2.9]}, title="Loss", x_title="step", y_title="loss (nats)")
    >>> StartingPoint({"last loss (nats)": 2.9}, figure, "It falls from 3.2 to 2.9 nats.").baseline
    {'last loss (nats)': 2.9}
    """

    baseline: Mapping[str, float]
    """One to four numbers. Each key says in words what is measured, with its unit: "loss without layer 3 (nats)"."""
    figure: go.Figure
    """The figure, with a title and with names and units on its axes."""
    caption: str
    """What to see in the figure, in a sentence or two, with numbers from the computation."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.baseline) <= MOST_NUMBERS:
            raise ValueError(
                f"a baseline has one to {MOST_NUMBERS} numbers, not {len(self.baseline)}; keep those to beat."
            )
        for words, value in self.baseline.items():
            if not words.strip() or not math.isfinite(value):
                raise ValueError(
                    f"a baseline has finite numbers with a name each; found {words!r}: {value!r}."
                )
        if not isinstance(self.figure, go.Figure):
            raise ValueError(
                f"figure is a Plotly figure, as from mechscope.viz; found {type(self.figure).__name__}."
            )
        layout: Any = self.figure.layout
        if not layout.title.text:
            raise ValueError(
                "the figure has no title; give it one, for example title=… in mechscope.viz.curves."
            )
        if not self.caption.strip():
            raise ValueError("the caption is empty; say in a sentence what to see in the figure.")

    def drawn(self) -> DrawnFigure:
        """The figure as plain data."""
        figure = go.Figure(self.figure)
        set_height(figure)
        return draw_figure(PageFigure("first_plot", figure, self.caption))


def run_starter(
    starting_point: Callable[..., StartingPoint], arguments: Sequence[str] | None = None
) -> StartingPoint:
    """Run a starter as a script: print its baseline, and write first_plot.html and baseline.json beside the script.

    The command line may have `--seed N` (0 by default) and `--folder DIR`, to write somewhere else. A starter that
    is run inside the catalogue writes to the current folder.

    Args:
        starting_point: takes a seed.
        arguments: the arguments of the command line; None means those of this process.

    Returns:
        What the starter measured.
    """
    script = Path(starting_point.__code__.co_filename).resolve()
    is_own = script.is_file() and HERE not in script.parents
    parser = argparse.ArgumentParser(description=starting_point.__globals__.get("__doc__"))
    parser.add_argument("--seed", type=int, default=0, help="decides what is random (default: 0)")
    parser.add_argument("--folder", type=Path, help="where to write (default: beside the script)")
    given = parser.parse_args(arguments)
    folder = given.folder or (script.parent if is_own else Path.cwd())
    found = starting_point(given.seed)
    drawn = found.drawn()
    shown = {words: number(value) for words, value in found.baseline.items()}
    page = render_page(TEMPLATE, drawing=figure_html(drawn), baseline=shown)
    write_atomically(folder / PLOT, f"{page}\n")
    source = script.read_text(encoding="utf-8") if script.is_file() else ""
    write_measurement(
        folder / FILE, found.baseline, given.seed, drawn, source, at_most=MOST_BYTES_OF_A_READER
    )
    console = Console(highlight=False)
    for words, value in shown.items():
        console.print(f"{words}: {value}", markup=False, soft_wrap=True)
    console.print(found.caption, markup=False, soft_wrap=True)
    console.print(f"Written: {folder / PLOT} and {FILE}", markup=False, soft_wrap=True)
    return found
