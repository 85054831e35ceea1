"""The scoreboard as a Markdown page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mechscope.pages.tables import markdown_table
from mechscope.scoreboard.tables import Interval, Tables, make_tables

if TYPE_CHECKING:
    from mechscope.scoreboard.matches import Scoreboard

REMARKS = Path(__file__).with_name("remarks.md")
"""The developers' conclusions from the full scoreboard."""


def scoreboard_page(board: Scoreboard | Tables, plot: str = "") -> str:
    """Markdown with the conditions, the tables of means, the conclusions, and the tables by program.

    Args:
        board: the matches, or the tables made of them.
        plot: path of the image relative to the page; empty for none.
    """
    tables = board if isinstance(board, Tables) else make_tables(board)
    picture = f"![AUROC of edges by method and condition]({plot})\n\n" if plot else ""
    remarks = REMARKS.read_text(encoding="utf-8")
    conditions = "\n".join(
        f"- **{name}**: {one['words']} (noise at {one['noise_share']:g} of what each program tolerates, attention "
        f"sharpness {one['sharpness']:g})"
        for name, one in tables.conditions.items()
    )
    disguise = f"{tables.disguise['extra_heads']} idle heads per layer and {tables.disguise['extra_layers']} idle layer"
    seeds = ", ".join(map(str, tables.seeds))
    hardest = list(tables.conditions.values())[-1]["words"]
    return f"""# Method scoreboard

Written by `make scoreboard`. Every method of this package that says which parts of a model matter is tested on
{len(tables.programs)} circuits that are known because they were compiled from programs ([planted models](planted.md)).
Each model is disguised: its basis is rotated, {disguise} are added, and every weight gets noise.
Seeds {seeds}, {tables.examples} pairs of prompts each, under these conditions:

{conditions}

**AUROC** is the chance that a true edge (or node: a head or an MLP) has a larger score, in magnitude, than one outside
the circuit. 1 is perfect, .5 is chance. The interval is a bootstrap over programs: what to expect on another circuit of
this kind. A method that scores edges ranks a node by its best outgoing edge. **Agreement** is Pearson's r between a
method's edge scores and the effects of patching each edge separately. Seconds are the median CPU time per match, on
models of two to four layers; they say which methods are cheap, not how their cost grows.

{picture}## Edges

{_edges(tables)}

## Nodes

{_nodes(tables)}
{remarks}
## Edges, by program, {hardest}

{_by_program(tables, "edges")}

## Nodes, by program, {hardest}

{_by_program(tables, "nodes")}
"""


def _edges(tables: Tables) -> str:
    kinds = {"edges": "AUROC", "agreement": "agreement"}
    names = [name for name in tables.methods if name in next(iter(tables.summaries["edges"].values()))]
    columns = [f"{words}, {condition}" for words in kinds.values() for condition in tables.conditions]
    cells = {
        name: [
            _interval(tables.summaries[kind][condition].get(name))
            for kind in kinds
            for condition in tables.conditions
        ]
        for name in names
    }
    return _table(tables, columns, cells)


def _nodes(tables: Tables) -> str:
    columns = [f"AUROC, {condition}" for condition in tables.conditions]
    cells = {
        name: [_interval(by_method.get(name)) for by_method in tables.summaries["nodes"].values()]
        for name in tables.methods
    }
    return _table(tables, columns, cells)


def _table(tables: Tables, columns: list[str], cells: dict[str, list[str]]) -> str:
    rows = [[tables.methods[name], *row, f"{tables.seconds[name]:.2g}"] for name, row in cells.items()]
    return markdown_table(["method", *columns, "CPU s"], rows)


def _interval(found: Interval | None) -> str:
    return "–" if found is None else f"{found[0]:.3f} ({found[1]:.3f}–{found[2]:.3f})"


def _by_program(tables: Tables, kind: str) -> str:
    columns = tables.by_program[kind]
    rows = [
        [program, *("–" if value is None else f"{value:.2f}" for value in values)]
        for program, *values in zip(tables.programs, *columns.values(), strict=True)
    ]
    return markdown_table(["program", *(tables.methods[name] for name in columns)], rows)
