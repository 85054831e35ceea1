"""The tables of the scoreboard as plain data: the page in the docs and the one in the web lab are made of the same.

They are written as JSON beside the matches (`tables.json`), and those of the full scoreboard come with mechscope.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mechscope.reading import read_json_object
from mechscope.storage.files import write_atomically

if TYPE_CHECKING:  # a page that shows tables must not wait for torch
    from mechscope.scoreboard.matches import Scoreboard

FORMAT = "mechscope scoreboard tables 1"
SHIPPED = Path(__file__).parent / "shipped" / "scoreboard.json"

Interval = Sequence[float]
"""A mean, and the low and high end of its 95 % interval."""


@dataclass(frozen=True)
class Tables:
    """What the page of a scoreboard says in numbers."""

    examples: int
    """Pairs of prompts per match."""
    seeds: Sequence[int]
    programs: Sequence[str]
    conditions: Mapping[str, Mapping[str, Any]]
    """Name → `words`, `noise_share`, `sharpness`, in the order in which they ran."""
    disguise: Mapping[str, Any]
    """How the models were disguised: `extra_heads`, `extra_layers`."""
    methods: Mapping[str, str]
    """Method → its name in tables."""
    seconds: Mapping[str, float]
    """Method → median CPU seconds per match."""
    summaries: Mapping[str, Mapping[str, Mapping[str, Interval]]]
    """"edges", "nodes" or "agreement" → condition → method → interval."""
    by_program: Mapping[str, Mapping[str, Sequence[float | None]]]
    """"edges" or "nodes" → method → AUROC for each program under the last condition; None where it is undefined."""

    def save(self, path: str | Path) -> Path:
        """Write them as JSON."""
        return write_atomically(path, json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n")


def make_tables(board: Scoreboard) -> Tables:
    """The tables of a scoreboard."""
    from mechscope.scoreboard.matches import CONDITIONS, DISGUISE
    from mechscope.scoreboard.methods import METHODS

    last = board.conditions()[-1]
    by_program: dict[str, dict[str, list[float | None]]] = {}
    for kind in ("edges", "nodes"):
        values = board.table(kind, last).values
        names = [name for name in board.methods() if METHODS[name].words in values.coords["technique"].values]
        by_program[kind] = {
            name: [None if math.isnan(value) else value for value in row]
            for name, row in zip(names, values.values.tolist(), strict=True)
        }
    return Tables(
        examples=board.examples,
        seeds=board.seeds(),
        programs=board.programs(),
        conditions={name: asdict(CONDITIONS[name]) for name in board.conditions()},
        disguise={name: DISGUISE[name] for name in ("extra_heads", "extra_layers")},
        methods={name: METHODS[name].words for name in board.methods()},
        seconds={name: board.median_seconds(name) for name in board.methods()},
        summaries={
            kind: {condition: board.summary(kind, condition) for condition in board.conditions()}
            for kind in ("edges", "nodes", "agreement")
        },
        by_program=by_program,
    )


def read_tables(path: str | Path = SHIPPED) -> Tables:
    """Read tables that `Tables.save` wrote; by default those of the full scoreboard.

    Raises:
        OSError: if they cannot be read.
        ValueError: if they have another format.
    """
    content = read_json_object(path, fix="Run `make scoreboard`.")
    if content.pop("format", None) != FORMAT:
        raise ValueError(f"{path} does not say format {FORMAT!r}. Run `make scoreboard`.")
    try:
        return Tables(**content)
    except TypeError as error:
        raise ValueError(
            f"{path} lacks a table or has an unknown one ({error}). Run `make scoreboard`."
        ) from error
