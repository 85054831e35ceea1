"""Classify the heads of a circuit by the position at which they work, what they attend to, and what they write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mechscope.labs.head_names import head_name
from mechscope.labs.ioi.attention_and_copying import attention_along, projections
from mechscope.labs.ioi.heads import Classes, Head, HeadPositions, head_of
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
"""The classes, from the answer backwards."""


@dataclass(frozen=True)
class Role:
    """The role of one head in the circuit."""

    head: Head
    kind: str
    """One of ORDER."""
    position: str
    """The named position at which patching it has the largest effect."""
    positions: tuple[str, ...]
    """All named positions at which patching it has enough of an effect; the main one first."""
    direct: float
    """Share of the effect that goes directly to the logits."""
    total: float
    """Share of the effect of patching it at its main position."""


@dataclass(frozen=True)
class Roles:
    """Every head of a circuit with its role."""

    roles: tuple[Role, ...]
    by_position: Result | None = None
    """Share of the effect of patching each head at each named position (layer, pos, head), if it is known."""

    @property
    def classes(self) -> Classes:
        """Class → heads, in the order of ORDER, strongest heads first."""
        found: dict[str, tuple[Head, ...]] = {}
        for kind in ORDER:
            members = sorted(
                (role for role in self.roles if role.kind == kind), key=lambda role: -abs(role.total)
            )
            if members:
                found[kind] = tuple(role.head for role in members)
        return found

    @property
    def positions(self) -> HeadPositions:
        """All positions at which each head works."""
        return {role.head: role.positions for role in self.roles}

    @property
    def main_positions(self) -> dict[Head, str]:
        """Main position of each head."""
        return {role.head: role.position for role in self.roles}

    def strongest(self, kind: str) -> Head | None:
        """The strongest head of a class; None if the class is empty."""
        return next(iter(self.classes.get(kind, ())), None)

    def in_words(self) -> str:
        """The classes and their heads as text."""
        return "; ".join(
            f"{kind}: {', '.join(map(head_name, heads))}" for kind, heads in self.classes.items()
        )


def assign_roles(
    model: HookedTransformer, task: Task, trace: Trace, attention: Result, threshold: float
) -> Roles:
    """Give every head that a trace found its role.

    The main position of a head is the one at which patching it alone has the largest effect. At the end, heads that
    write to the logits are name movers (what they write raises IO more than it lowers S), S-suppressors (it lowers S
    more) or negative name movers (they hurt), and all other heads there that help are S-inhibition heads. At S2, a
    head that attends to S1 is a duplicate-token head, and one that attends to the word after S1 an induction head. At
    S1+1, a head that attends to S1 is a previous-token head.
    """
    by_position = patch(model, task, "z", ("pos", "head"), direction="noise", progress=False)
    names = [name for name in ("end", "S2", "S1+1", "S1", "IO") if name in task.positions]
    effects = _effects_by_name(by_position, task, names)
    direct = trace.stages[0].effects.values.values
    writers = [head_of(node) for node in trace.stages[0].found if node.startswith("a")]
    raised = raised_io(model, task, writers) if writers else {}
    heads = [head_of(node) for node in trace.heads]
    return Roles(classify(heads, effects, direct, attention, raised, threshold), by_position)


def classify(
    heads: Sequence[Head],
    effects: Mapping[str, np.ndarray],
    direct: np.ndarray,
    attention: Result,
    raised: Mapping[Head, float],
    threshold: float,
) -> tuple[Role, ...]:
    """The role of each head, by the rules of `assign_roles`.

    Args:
        effects: named position → share of the effect of each head there [layer head].
        direct: share of the effect that each head sends directly to the logits [layer head].
        attention: attention between the named positions (label, layer, head).
        raised: by how much more heads that write to the logits raise IO than they lower S.
        threshold: the smallest share that counts.
    """
    roles = []
    for head in heads:
        position = max(effects, key=lambda name: abs(effects[name][head]))
        others = [name for name in effects if name != position and abs(effects[name][head]) >= threshold]
        own, total = float(direct[head]), float(effects[position][head])
        kind = _kind(attention, head, position, own, total, threshold, raised.get(head, 0.0))
        roles.append(Role(head, kind, position, (position, *others), own, total))
    return tuple(roles)


def _effects_by_name(by_position: Result, task: Task, names: list[str]) -> dict[str, np.ndarray]:
    """Named position → effects [layer head], whether the result labels positions by name or by number."""
    values = by_position.values
    labels = [str(label) for label in values.coords["pos"].values]
    columns = {name: labels.index(name) if name in labels else int(task.positions[name][0]) for name in names}
    return {name: values.values[:, column] for name, column in columns.items()}


def raised_io(model: HookedTransformer, task: Task, heads: Sequence[Head]) -> dict[Head, float]:
    """By how much more each head raises the logit of IO than it lowers that of S."""
    written = projections(model, task, heads).written.mean(1)  # [head name]: IO, S
    return {head: float(row[0] + row[1]) for head, row in zip(heads, written, strict=True)}


def _kind(
    attention: Result,
    head: Head,
    position: str,
    direct: float,
    total: float,
    threshold: float,
    raises: float,
) -> str:
    def to(label: str) -> float:
        known = attention.values.coords["label"].values
        return attention_along(attention, head, label) if label in known else 0.0

    if position == "end":
        if direct <= -threshold:
            return "negative name mover"
        if direct >= threshold:
            return "name mover" if raises > 0 else "S-suppressor"
        return "S-inhibition" if total > 0 else "other"
    if position == "S2":
        return "duplicate token" if to("S2 to S1") >= to("S2 to S1+1") else "induction"
    if position == "S1+1" and to("S1+1 to S1") > 0.25:
        return "previous token"
    return "other"
