"""The scoreboard as a Markdown page."""

from __future__ import annotations

import math
from pathlib import Path

from mechscope.pages.tables import markdown_table
from mechscope.scoreboard.matches import CONDITIONS, DISGUISE, Scoreboard
from mechscope.scoreboard.methods import METHODS

REMARKS = Path(__file__).with_name("remarks.md")
"""The developers' conclusions from the full scoreboard."""


def scoreboard_page(board: Scoreboard, plot: str = "") -> str:
    """Markdown with the conditions, the tables of means, the conclusions, and the tables by program.

    Args:
        board: the matches.
        plot: path of the image relative to the page; empty for none.
    """
    picture = f"![AUROC of edges by method and condition]({plot})\n\n" if plot else ""
    remarks = REMARKS.read_text(encoding="utf-8")
    conditions = "\n".join(
        f"- **{name}**: {CONDITIONS[name].words} (noise at {CONDITIONS[name].noise_share:g} of what each program "
        f"tolerates, attention sharpness {CONDITIONS[name].sharpness:g})"
        for name in board.conditions()
    )
    disguise = f"{DISGUISE['extra_heads']} idle heads per layer and {DISGUISE['extra_layers']} idle layer"
    seeds = ", ".join(map(str, board.seeds()))
    return f"""# Method scoreboard

Written by `make scoreboard`. Every method of this package that says which parts of a model matter is tested on
{len(board.programs())} circuits that are known because they were compiled from programs ([planted models](planted.md)).
Each model is disguised: its basis is rotated, {disguise} are added, and every weight gets noise.
Seeds {seeds}, {board.examples} pairs of prompts each, under these conditions:

{conditions}

**AUROC** is the chance that a true edge (or node: a head or an MLP) has a larger score, in magnitude, than one outside
the circuit. 1 is perfect, .5 is chance. The interval is a bootstrap over programs: what to expect on another circuit of
this kind. A method that scores edges ranks a node by its best outgoing edge. **Agreement** is Pearson's r between a
method's edge scores and the effects of patching each edge separately. Seconds are the median CPU time per match, on
models of two to four layers; they say which methods are cheap, not how their cost grows.

{picture}## Edges

{_edges(board)}

## Nodes

{_nodes(board)}
{remarks}
## Edges, by program, {CONDITIONS[board.conditions()[-1]].words}

{_by_program(board, "edges", board.conditions()[-1])}

## Nodes, by program, {CONDITIONS[board.conditions()[-1]].words}

{_by_program(board, "nodes", board.conditions()[-1])}
"""


def _edges(board: Scoreboard) -> str:
    names = [name for name in board.methods() if name in board.summary("edges", board.conditions()[0])]
    columns = [f"AUROC, {condition}" for condition in board.conditions()]
    columns += [f"agreement, {condition}" for condition in board.conditions()]
    cells = {
        name: [
            _interval(board.summary(kind, condition).get(name))
            for kind in ("edges", "agreement")
            for condition in board.conditions()
        ]
        for name in names
    }
    return _table(board, names, columns, cells)


def _nodes(board: Scoreboard) -> str:
    columns = [f"AUROC, {condition}" for condition in board.conditions()]
    cells = {
        name: [_interval(board.summary("nodes", condition).get(name)) for condition in board.conditions()]
        for name in board.methods()
    }
    return _table(board, board.methods(), columns, cells)


def _table(board: Scoreboard, names: list[str], columns: list[str], cells: dict[str, list[str]]) -> str:
    rows = [[METHODS[name].words, *cells[name], f"{board.median_seconds(name):.2g}"] for name in names]
    return markdown_table(["method", *columns, "CPU s"], rows)


def _interval(found: tuple[float, float, float] | None) -> str:
    return "–" if found is None else f"{found[0]:.3f} ({found[1]:.3f}–{found[2]:.3f})"


def _by_program(board: Scoreboard, kind: str, condition: str) -> str:
    table = board.table(kind, condition).values
    methods = [str(name) for name in table.coords["technique"].values]
    rows = [
        [
            program,
            *("–" if math.isnan(value) else f"{value:.2f}" for value in table.sel(program=program).values),
        ]
        for program in table.coords["program"].values
    ]
    return markdown_table(["program", *methods], rows)
