"""The corruptions of IOI prompts: which names each one changes and what information that removes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Names:
    """The name tokens of one prompt, by role."""

    io: int
    s1: int
    s2: int
    extra: int
    """In the added sentence of `ioi_double_io`."""

    def slots(self) -> dict[str, int | Sequence[int]]:
        """The names by template slot (IO, S and C); in either order S1 is the earlier S."""
        return {"IO": self.io, "S": (self.s1, self.s2), "C": self.extra}


@dataclass(frozen=True)
class Corruption:
    """A way to change the names."""

    says: str
    """A description of the change."""
    needs: int
    """How many different names it needs, including the two in the prompt."""
    change: Callable[[Names, Sequence[int]], Names]
    """Corrupted names from the clean ones and randomly drawn others."""


def _swap(names: Names) -> Names:
    swapped = {names.io: names.s1, names.s1: names.io}
    return Names(names.s1, names.io, names.io, swapped.get(names.extra, names.extra))


IOI_CORRUPTIONS: dict[str, Corruption] = {
    "ABC": Corruption(
        "IO, S1 and S2 become three other names; nothing is repeated and no name of the prompt is left",
        5,
        lambda names, others: Names(*others[:3], extra=others[3] if len(others) > 3 else names.extra),
    ),
    "S2": Corruption(
        "S2 becomes IO; now the other name is repeated and the answer flips",
        2,
        lambda names, others: Names(names.io, names.s1, names.io, names.extra),
    ),
    "S2_random": Corruption(
        "S2 becomes a third name; neither of the two names is repeated",
        3,
        lambda names, others: Names(names.io, names.s1, others[0], names.extra),
    ),
    "S1_random": Corruption(
        "S1 becomes a third name; S2 repeats nothing",
        3,
        lambda names, others: Names(names.io, others[0], names.s2, names.extra),
    ),
    "IO_random": Corruption(
        "IO becomes a third name; the repetition stays, but the answer to copy is different",
        3,
        lambda names, others: Names(others[0], names.s1, names.s2, names.extra),
    ),
    "names": Corruption(
        "IO and S are swapped everywhere; the answer flips and so does the order of the names",
        2,
        lambda names, others: _swap(names),
    ),
    "order": Corruption(
        "the first two names are swapped; the answer stays, and the prompts differ only in positions",
        2,
        lambda names, others: Names(names.s1, names.io, names.s2, names.extra),
    ),
}
"""Every corruption by name. The right and wrong answers are always those of the clean prompt."""


def get_corruption(name: str) -> Corruption:
    """A corruption by name.

    Raises:
        ValueError: for an unknown name; lists the known ones.
    """
    if name not in IOI_CORRUPTIONS:
        raise ValueError(f"unknown IOI corruption {name!r}; choose from {', '.join(IOI_CORRUPTIONS)}.")
    return IOI_CORRUPTIONS[name]
