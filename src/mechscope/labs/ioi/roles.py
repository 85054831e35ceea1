"""Which class a head of the circuit belongs to, by where it works, what it looks at, and what becomes of its word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mechscope.labs.ioi.heads import Classes, Head, Places, head_of, name_of
from mechscope.labs.ioi.reading import look, projections
from mechscope.labs.ioi.trace import Trace
from mechscope.results import Result
from mechscope.tasks.task import Task
from mechscope.techniques.activation_patching import patch

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

ORDER = (
    "name mover",
    "S-suppressor",
    "negative name mover",
    "S-inhibition",
    "duplicate token",
    "induction",
    "previous token",
    "other",
)
"""Classes as they are told, from the answer backwards."""


@dataclass(frozen=True)
class Role:
    """One head's part in the circuit."""

    head: Head
    kind: str
    """One of ORDER."""
    place: str
    """The named position at which patching it does most."""
    places: tuple[str, ...]
    """Every named position at which patching it does enough, that one first."""
    direct: float
    """Share of the effect that goes straight to the logits."""
    total: float
    """Share of the effect of patching it at its place."""


@dataclass(frozen=True)
class Roles:
    """Every head of a circuit with its role."""

    roles: tuple[Role, ...]
    by_position: Result
    """Share of the effect of patching each head at each named position (layer, pos, head)."""

    @property
    def classes(self) -> Classes:
        """Class → heads, in the order of ORDER, the strongest first."""
        found: dict[str, tuple[Head, ...]] = {}
        for kind in ORDER:
            members = sorted(
                (role for role in self.roles if role.kind == kind), key=lambda role: -abs(role.total)
            )
            if members:
                found[kind] = tuple(role.head for role in members)
        return found

    @property
    def places(self) -> Places:
        """Everywhere that each head works."""
        return {role.head: role.places for role in self.roles}

    @property
    def main_places(self) -> dict[Head, str]:
        """Where each head does most."""
        return {role.head: role.place for role in self.roles}

    def in_words(self) -> str:
        """The classes as a text."""
        return "; ".join(f"{kind}: {', '.join(map(name_of, heads))}" for kind, heads in self.classes.items())


def assign_roles(
    model: HookedTransformer, task: Task, trace: Trace, attention: Result, threshold: float
) -> Roles:
    """The role of every head that a trace found.

    A head works where patching it alone, at one named position, does most. At the end, heads that speak to the logits
    are name movers (what they write raises IO more than it lowers S), S-suppressors (it lowers S more) or negative
    (they hurt), and the others are S-inhibition heads. At S2 a head that looks at S1 is a duplicate-token head, one
    that looks behind it an induction head; at S1+1 a head that looks at S1 is a previous-token head.
    """
    by_position = patch(model, task, "z", ("pos", "head"), direction="noise", progress=False)
    places = [place for place in ("end", "S2", "S1+1", "S1", "IO") if place in task.positions]
    effects = _named(by_position, task, places)
    direct = trace.stages[0].effects.values.values
    speakers = [head_of(node) for node in trace.stages[0].found if node.startswith("a")]
    written = _raises_io(model, task, speakers) if speakers else {}
    roles = []
    for node in trace.heads:
        head = head_of(node)
        place = max(places, key=lambda name: abs(effects[name][head]))
        elsewhere = [name for name in places if name != place and abs(effects[name][head]) >= threshold]
        own = float(direct[head])
        raises = written.get(head, 0.0)
        kind = _kind(attention, head, place, own, threshold, raises)
        roles.append(Role(head, kind, place, (place, *elsewhere), own, float(effects[place][head])))
    return Roles(tuple(roles), by_position)


def _named(by_position: Result, task: Task, places: list[str]) -> Mapping[str, dict[Head, float]]:
    """Named position → head → effect, whether positions are told by name or by number."""
    values = by_position.values
    labels = [str(label) for label in values.coords["pos"].values]
    layers, _, heads = values.shape
    found: dict[str, dict[Head, float]] = {}
    for place in places:
        column = labels.index(place) if place in labels else int(task.positions[place][0])
        table = values.values[:, column]
        found[place] = {
            (layer, head): float(table[layer, head]) for layer in range(layers) for head in range(heads)
        }
    return found


def _raises_io(model: HookedTransformer, task: Task, heads: list[Head]) -> dict[Head, float]:
    """How much more each head raises the logit of IO than it lowers that of S."""
    written = projections(model, task, heads).written.mean(1)  # [head name]: IO, S
    return {head: float(row[0] + row[1]) for head, row in zip(heads, written, strict=True)}


def _kind(attention: Result, head: Head, place: str, direct: float, threshold: float, raises: float) -> str:
    def to(label: str) -> float:
        known = attention.values.coords["label"].values
        return look(attention, head, label) if label in known else 0.0

    if place == "end":
        if direct <= -threshold:
            return "negative name mover"
        if direct >= threshold:
            return "name mover" if raises > 0 else "S-suppressor"
        return "S-inhibition"
    if place == "S2":
        return "duplicate token" if to("S2 to S1") >= to("S2 to S1+1") else "induction"
    if place == "S1+1" and to("S1+1 to S1") > 0.25:
        return "previous token"
    return "other"
