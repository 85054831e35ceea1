"""The file baseline.json, which a starter writes: its numbers, its figure, and which code they come from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mechscope.pages.shipped import ship, source_checksum
from mechscope.reading import read_json_object, read_text

if TYPE_CHECKING:
    from mechscope.pages.figures import DrawnFigure

FILE = "baseline.json"
MOST_BYTES = 15_000
"""The largest file that is shipped, so that pages stay small."""
MOST_BYTES_OF_A_READER = 20_000_000
CHECKSUM = "starter"
"""The key of the starter's checksum in the file."""


@dataclass(frozen=True)
class Measurement:
    """What a starter measured."""

    baseline: Mapping[str, float]
    """Words with the unit → number."""
    seed: int
    """The seed that it ran with."""
    plot: Mapping[str, Any]
    """The fields of a `DrawnFigure`."""
    checksum: str
    """Of the starter that it comes from."""

    @property
    def figure(self) -> DrawnFigure:
        """The figure.

        Raises:
            ValueError: if it has something that a page does not draw.
        """
        from mechscope.pages.figures import DrawnFigure

        return DrawnFigure(**self.plot)

    def is_of(self, starter: Path) -> bool:
        """Whether it was measured by this script as it is now."""
        return self.checksum == source_checksum(read_text(starter))


def write_measurement(
    path: Path, baseline: Mapping[str, float], seed: int, figure: DrawnFigure, source: str, at_most: int
) -> int:
    """Write a measurement.

    Returns:
        The size in bytes.

    Raises:
        NotKeptError: if it cannot be written.
        ValueError: if it is too large.
    """
    content = {"baseline": dict(baseline), "seed": seed, "figure": asdict(figure)}
    return ship(path, content, source, CHECKSUM, at_most)


def read_measurement(path: Path) -> Measurement:
    """Read a measurement, which a reader may have edited.

    Raises:
        OSError: if the file cannot be read.
        ValueError: names the file and what was expected.
    """
    fix = "Run starter.py again."
    content = read_json_object(path, fix=fix)
    baseline, figure = content.get("baseline"), content.get("figure")
    seed, checksum = content.get("seed"), content.get(CHECKSUM)
    is_right = (
        isinstance(baseline, dict)
        and all(_is_number(value) for value in cast("dict[str, Any]", baseline).values())
        and isinstance(figure, dict)
        and set(cast("dict[str, Any]", figure)) == {"name", "title", "caption", "plot"}
        and all(isinstance(figure[key], str) for key in ("name", "title", "caption"))
        and isinstance(figure["plot"], dict)
        and isinstance(seed, int)
        and isinstance(checksum, str)
    )
    if not is_right:
        raise ValueError(
            f"{str(path)!r} is not a file that a starter writes: it has baseline, seed, figure and {CHECKSUM}. {fix}"
        )
    return Measurement(
        cast("dict[str, float]", baseline), cast("int", seed), cast("dict[str, Any]", figure), str(checksum)
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
