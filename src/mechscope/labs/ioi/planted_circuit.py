"""Planted IOI circuits: does the pipeline find exactly the circuit that was planted?"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch

from mechscope.labs.ioi.heads import Classes, Head, head_of
from mechscope.labs.ioi.trace import trace_back
from mechscope.planted import PlantedModel, load
from mechscope.tasks.task import Task

CLASS_OF_NOTE = {
    "duplicate token": "duplicate token",
    "S-inhibition": "S-inhibition",
    "name mover": "name mover",
}
"""How a component's note begins → class of the head."""


@dataclass(frozen=True)
class Recovery:
    """What the pipeline found in one planted model, and the truth."""

    seed: int
    true_edges: frozenset[str]
    found_edges: frozenset[str]
    true_heads: frozenset[Head]
    found_heads: frozenset[Head]

    @property
    def exact(self) -> bool:
        """Whether it found every true head and edge, and no others."""
        return self.true_edges == self.found_edges and self.true_heads == self.found_heads


def plant(seed: int) -> PlantedModel:
    """A planted IOI model in disguise: bases rotated, heads renumbered, idle heads and an idle layer added."""
    return load("ioi", rotate=True, seed=seed, extra_heads=2, extra_layers=1)


def planted_task(planted: PlantedModel, n: int, seed: int) -> Task:
    """Its task with IOI's named positions: the name that occurs once is IO, the one that occurs twice S1 and S2."""
    task = planted.task(n, seed)
    io, first, second = [], [], []
    for row in task.clean.tolist():
        mentions: dict[int, list[int]] = {}
        for position, token in enumerate(row):
            if planted.vocabulary[token][:1].isupper() and position:
                mentions.setdefault(token, []).append(position)
        once = [where[0] for where in mentions.values() if len(where) == 1]
        twice = [where for where in mentions.values() if len(where) == 2]
        io.append(once[0])
        first.append(twice[0][0])
        second.append(twice[0][1])
    s1 = torch.tensor(first)
    positions = {
        "IO": torch.tensor(io),
        "S1": s1,
        "S1+1": s1 + 1,
        "S2": torch.tensor(second),
        "end": task.positions["answer"],
    }
    return dataclasses.replace(task, positions=positions)


def planted_classes(planted: PlantedModel) -> Classes:
    """The classes of its heads, according to the notes of the planted program."""
    found: dict[str, tuple[Head, ...]] = {}
    for node, note in planted.notes.items():
        for start, kind in CLASS_OF_NOTE.items():
            if note.startswith(start):
                found[kind] = (*found.get(kind, ()), head_of(node))
    return found


def recover(seed: int, prompts: int, threshold: float) -> Recovery:
    """Plant a circuit, search for it, and compare."""
    planted = plant(seed)
    trace = trace_back(planted.model, planted_task(planted, prompts, seed), threshold)
    return Recovery(
        seed,
        planted.true_edges,
        frozenset(trace.edges),
        frozenset(head_of(node) for node in planted.true_nodes if node.startswith("a")),
        frozenset(map(head_of, trace.heads)),
    )
