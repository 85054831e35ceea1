"""Heads by layer and number, where in a prompt each works, and the classes that are published for GPT-2 small."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Head = tuple[int, int]
"""(layer, head), both counted from 0: 9.6 is head 6 of layer 9."""
Classes = Mapping[str, tuple[Head, ...]]
"""Name of a class of heads → its heads."""
Places = Mapping[Head, str | tuple[str, ...]]
"""Head → the named position, or positions, at which it belongs to the circuit."""

GPT2_CLASSES: Classes = {
    "name mover": ((9, 9), (10, 0), (9, 6)),
    "backup name mover": ((9, 0), (9, 7), (10, 1), (10, 2), (10, 6), (10, 10), (11, 2), (11, 9)),
    "negative name mover": ((10, 7), (11, 10)),
    "S-inhibition": ((7, 3), (7, 9), (8, 6), (8, 10)),
    "induction": ((5, 5), (6, 9), (5, 8), (5, 9)),
    "duplicate token": ((0, 1), (3, 0), (0, 10)),
    "previous token": ((2, 2), (4, 11)),
}
"""The 26 heads of GPT-2 small's circuit. Source: Wang et al. 2022, figure 2."""
CLASS_PLACE: Mapping[str, str] = {
    "name mover": "end",
    "S-suppressor": "end",
    "backup name mover": "end",
    "negative name mover": "end",
    "S-inhibition": "end",
    "induction": "S2",
    "duplicate token": "S2",
    "previous token": "S1+1",
}
"""Where in a prompt heads of a class work."""
NAIVE = ("name mover", "S-inhibition", "induction", "duplicate token", "previous token")
"""Classes of the naive circuit, of which the first two heads are taken (three name movers, four S-inhibition heads)."""


def naive_circuit(classes: Classes) -> tuple[Head, ...]:
    """The circuit as first told: no backups, no negative heads, and of the early classes two heads each."""
    whole = ("name mover", "S-inhibition")
    return tuple(head for name in NAIVE for head in classes.get(name, ())[: None if name in whole else 2])


def every_head(classes: Classes) -> tuple[Head, ...]:
    """All heads of all classes."""
    return tuple(head for heads in classes.values() for head in heads)


def positions_of(classes: Classes, only: Iterable[Head] | None = None) -> dict[Head, str | tuple[str, ...]]:
    """Where each head works, by its class."""
    kept = None if only is None else set(only)
    return {
        head: CLASS_PLACE[name]
        for name, heads in classes.items()
        for head in heads
        if kept is None or head in kept
    }


def name_of(head: Head) -> str:
    """As papers write it.

    >>> name_of((9, 6))
    '9.6'
    """
    return f"{head[0]}.{head[1]}"


def node_of(head: Head) -> str:
    """As circuits are published.

    >>> node_of((9, 6))
    'a9.h6'
    """
    return f"a{head[0]}.h{head[1]}"


def head_of(node: str) -> Head:
    """The head that a node's name means.

    >>> head_of("a9.h6")
    (9, 6)
    """
    layer, _, head = node.removeprefix("a").partition(".h")
    return int(layer), int(head)


def in_words(heads: Iterable[Head]) -> str:
    """A list for a text.

    >>> in_words([(9, 6), (10, 0)])
    '9.6, 10.0'
    """
    return ", ".join(map(name_of, heads)) or "none"
