"""The true computational graph of a compiled program, in the published names of nodes and edges.

An edge is true if it carries information that depends on the tokens and is needed for the output. Information that is
the same in every input (positions, BOS, constants) flows along *fixed* edges: swapping inputs cannot reveal them, only
zero or mean ablation can.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mechscope.planted._plan import ONE, HeadPlan, MapPlan, Plan, Variable
from mechscope.planted._scheduling import Schedule


@dataclass(frozen=True)
class Truth:
    """Nodes, edges, and a description of each component's job."""

    edges: frozenset[str]
    """Edges that carry token-dependent information."""
    fixed_edges: frozenset[str]
    """Edges that carry only information that is the same in every input."""
    nodes: frozenset[str]
    """The ends of the true edges."""
    notes: dict[str, str]
    """Node → what that component does, for components that do something."""


def find_truth(plan: Plan, places: Schedule) -> Truth:
    """The graph of a plan whose components have been placed."""
    source: dict[Variable, str] = dict.fromkeys((plan.tokens, plan.positions, plan.one), "input")
    source |= {part.output: place.node for part, place in places.places.items()}
    varying: set[str] = set()
    fixed: set[str] = set()
    notes: dict[str, list[str]] = {}

    def add(variable: Variable, destination: str) -> None:
        edge = f"{source[variable]}->{destination}"
        (varying if variable.varies else fixed).add(edge)

    for part, place in places.places.items():
        if isinstance(part, HeadPlan):
            # Every key encodes whether it is BOS, because a query without a match attends to BOS.
            fixed.add(f"input->{place.node}<k>")
            for reading, which in part.reads():
                add(reading.variable, f"{place.node}<{which}>")
        else:
            if any(part.neurons.at_bos):
                fixed.add(f"input->{place.node}")
            for variable in {variable for reads in part.neurons.reads for variable, _ in reads}:
                add(variable, place.node)
        notes.setdefault(place.node, []).append(_description(part))
    add(plan.output.variable, "logits")
    ends = {end.split("<")[0] for edge in varying for end in edge.split("->")}
    return Truth(
        frozenset(varying),
        frozenset(fixed - varying),
        frozenset(ends),
        {node: "; ".join(words) for node, words in sorted(notes.items())},
    )


def _description(part: HeadPlan | MapPlan) -> str:
    if isinstance(part, MapPlan):
        return part.note or part.output.name
    keys = _names(atom.key.variable for atom in part.atoms) or "any token"
    queries = _names(atom.query.variable for atom in part.atoms)
    brings = f"brings its {part.value.variable.name}"
    if part.counts:
        brings = "counts how many there are"
    elif part.value.variable.name == ONE:
        brings = "marks that there is one"
    prefer = _names(reading.variable for reading in part.prefer)
    looks = f"looks for {keys}" + (f" by {queries}" if queries else "")
    return f"{part.note or part.output.name}: {looks}{f', the greatest {prefer} first' if prefer else ''}; {brings}"


def _names(variables: Iterable[Variable]) -> str:
    """The distinct names of variables, without constants."""
    return " and ".join(dict.fromkeys(variable.name for variable in variables if variable.name != ONE))
