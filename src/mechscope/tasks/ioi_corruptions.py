"""What an IOI prompt's corrupted twin changes, and what each change takes away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Names:
    """The tokens of the names of one prompt, by where they stand."""

    io: int
    s1: int
    s2: int
    extra: int
    """In the further sentence of `ioi_double_io`."""

    def slots(self) -> dict[str, int | Sequence[int]]:
        """For a template whose slots are IO, S and C; in either order S1 is the earlier S."""
        return {"IO": self.io, "S": (self.s1, self.s2), "C": self.extra}


@dataclass(frozen=True)
class Corruption:
    """A change of the names."""

    says: str
    """What it does, in words."""
    needs: int
    """Different names that it takes, the prompt's own two included."""
    change: Callable[[Names, Sequence[int]], Names]
    """From the clean names and other names drawn at random."""


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
        "S2 becomes IO; the other name is now the repeated one and the answer flips",
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
        "IO becomes a third name; the repetition stays, the answer to copy is another",
        3,
        lambda names, others: Names(others[0], names.s1, names.s2, names.extra),
    ),
    "names": Corruption(
        "IO and S change places everywhere; the answer flips and so does the order of the names",
        2,
        lambda names, others: _swap(names),
    ),
    "order": Corruption(
        "the first two names change places; the answer stays, and only positions tell the prompts apart",
        2,
        lambda names, others: Names(names.s1, names.io, names.s2, names.extra),
    ),
}
"""Every corruption by name. Right and wrong answers stay those of the clean prompt."""


def get_corruption(name: str) -> Corruption:
    """A corruption by name.

    Raises:
        ValueError: for a name that does not exist, with those that do.
    """
    if name not in IOI_CORRUPTIONS:
        raise ValueError(f"no IOI corruption is called {name!r}; there are {', '.join(IOI_CORRUPTIONS)}.")
    return IOI_CORRUPTIONS[name]
