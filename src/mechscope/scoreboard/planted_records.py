"""What the web lab shows of each planted circuit: the program, its true circuit, and the scores of every method.

    python -m mechscope.scoreboard.planted_records

measures the methods again (two minutes) and replaces the files in `shipped/planted/`, one for each program. Pages read
these files as they are, so that a page needs neither torch nor a server.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mechscope import planted
from mechscope.planted import PlantedModel
from mechscope.scoreboard.matches import CONDITIONS, disguised_model
from mechscope.scoreboard.methods import METHODS, Scored
from mechscope.storage.files import write_atomically
from mechscope.tasks.task import Task
from mechscope.techniques.circuits import EdgeGraph

FOLDER = Path(__file__).parent / "shipped" / "planted"
FORMAT = "mechscope planted record 1"
SEED = 0
"""Seed of the disguise, of the prompts and of the methods' random draws."""
EXAMPLES = 64
"""Pairs of prompts that the methods see."""
DIGITS = 3
"""Significant digits of the stored scores."""


def planted_record(
    program: str, conditions: Iterable[str] = tuple(CONDITIONS), methods: Iterable[str] = tuple(METHODS)
) -> dict[str, Any]:
    """Everything that the page of one program shows, as plain JSON values.

    `scores` has for each condition and method one number for each of `edges`, or of the nodes between `input` and
    `logits` for a method that scores nodes, rounded to `DIGITS` digits. The true circuit is the same under every
    condition.
    """
    scores: dict[str, dict[str, list[float]]] = {}
    for condition in conditions:
        model = disguised_model(program, condition, SEED)
        task = model.task(EXAMPLES, seed=SEED)
        graph = EdgeGraph.of(model.model)
        scores[condition] = {
            name: [
                _rounded(score) for score in flat_scores(graph, METHODS[name].method(model.model, task, SEED))
            ]
            for name in methods
        }
    return {**_description(disguised_model(program, seed=SEED)), "scores": scores}


def _description(model: PlantedModel) -> dict[str, Any]:
    graph = EdgeGraph.of(model.model)
    return {
        "format": FORMAT,
        "program": model.name,
        "words": model.description,
        "code": inspect.getsource(planted.PROGRAMS[model.name]),
        "vocabulary": model.vocabulary,
        "alphabet": model.program.alphabet,
        "length": model.program.length,
        "inputs": _example_pair(model.task(1, seed=SEED), model.vocabulary),
        "layers": graph.n_layers,
        "heads": graph.n_heads,
        "nodes": graph.nodes,
        "edges": graph.edge_names(),
        "true_edges": graph.edge_names(graph.mask(model.true_edges)),
        "fixed_edges": graph.edge_names(graph.mask(model.fixed_edges)),
        "notes": model.notes,
        "examples": EXAMPLES,
        "conditions": {name: condition.words for name, condition in CONDITIONS.items()},
        "methods": {name: method.words for name, method in METHODS.items()},
    }


def _example_pair(task: Task, vocabulary: tuple[str, ...]) -> list[str]:
    """A clean and a corrupted input as text, without BOS."""
    return [
        " ".join(vocabulary[token] for token in row[0, 1:].tolist()) for row in (task.clean, task.corrupted)
    ]


def flat_scores(graph: EdgeGraph, scored: Scored) -> list[float]:
    """One score for each edge in the order of `graph.edge_names()`, or for each node between `input` and `logits`."""
    if scored.nodes is not None:
        return [scored.nodes[name] for name in graph.sources[1:]]
    assert scored.edges is not None
    return scored.edges[graph.valid].nan_to_num(0.0).tolist()


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def write_record(record: Mapping[str, Any], folder: Path = FOLDER) -> Path:
    """Write a record as JSON: one line per field, and one per method in `scores`."""
    fields = [
        f" {json.dumps(name)}: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}"
        for name, value in record.items()
        if name != "scores"
    ]
    blocks = [
        f"  {json.dumps(condition)}: {{\n"
        + ",\n".join(
            f"   {json.dumps(name)}: [{','.join(f'{value:g}' for value in values)}]"
            for name, values in by_method.items()
        )
        + "\n  }"
        for condition, by_method in record["scores"].items()
    ]
    text = "{\n" + ",\n".join([*fields, ' "scores": {\n' + ",\n".join(blocks) + "\n }"]) + "\n}\n"
    return write_atomically(folder / f"{record['program']}.json", text)


if __name__ == "__main__":
    for program_name in sys.argv[1:] or planted.PROGRAMS:
        sys.stdout.write(f"{write_record(planted_record(program_name))}\n")
