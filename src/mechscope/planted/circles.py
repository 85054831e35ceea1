"""Residues encoded as points on circles, one circle per frequency."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Circles:
    """An encoding of residues: (cos, sin) of 2 pi k residue / modulus for each frequency k.

    >>> [round(part, 3) + 0.0 for part in Circles(4, (1,))(1)]
    [0.0, 1.0]
    """

    modulus: int
    frequencies: tuple[int, ...]

    def __call__(self, residue: Any) -> tuple[float, ...]:
        """The point of a residue, as two numbers per frequency."""
        angles = [2 * math.pi * frequency * residue / self.modulus for frequency in self.frequencies]
        return tuple(part for angle in angles for part in (math.cos(angle), math.sin(angle)))
