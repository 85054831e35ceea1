"""An effect with its null beside it: what random directions of the same kind would have done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mechscope.results import Provenance, Result, make_result


@dataclass(frozen=True)
class BesideRandom:
    """Effects of what was chosen, and of random draws."""

    effects: Result
    """dims ("series",): what was chosen, and what it is compared with."""
    null: Result
    """dims ("draw",): the same intervention with random directions."""

    @property
    def share_as_strong(self) -> float:
        """The share of random draws whose effect is at least as large as the first series', in magnitude."""
        chosen = abs(float(self.effects.values[0]))
        return float((abs(self.null.values) >= chosen).mean())

    def figure(self) -> Any:
        """Bars: what was chosen, what it is compared with, and the lowest and highest random draw."""
        from mechscope.viz.bars import bars

        values, null = self.effects.values, self.null.values
        names = [str(label) for label in values.coords["series"].values]
        return bars(
            [*names, "random, lowest", "random, highest"],
            {self.effects.title: [*values.values.tolist(), float(null.min()), float(null.max())]},
            title=self.effects.title,
            x_title=f"what is changed ({null.size} random draws)",
            y_title=self.effects.unit,
        )

    def show(self) -> Any:
        """Draw and display it; returns the figure."""
        figure = self.figure()
        figure.show()
        return figure

    def __repr__(self) -> str:
        first = str(self.effects.values.coords["series"].values[0])
        return (
            f"<{self.effects.title} [{self.effects.unit}]: {first} {float(self.effects.values[0]):.3g}; random "
            f"{float(self.null.values.min()):.3g} to {float(self.null.values.max()):.3g}; {self.effects.provenance}>"
        )


def beside_random(
    chosen: dict[str, torch.Tensor],
    null: torch.Tensor,
    *,
    title: str,
    null_title: str,
    unit: str,
    provenance: Provenance,
) -> BesideRandom:
    """Chosen effects by name (one number each) and the draws' effects [draw]."""
    effects = make_result(
        torch.stack(list(chosen.values())),
        ("series",),
        title,
        unit,
        provenance,
        {"series": np.array(list(chosen))},
        "bars",
    )
    return BesideRandom(effects, make_result(null, ("draw",), null_title, unit, provenance, kind="bars"))


def check_count(n_random: int) -> None:
    """See that there is a null at all.

    Raises:
        ValueError: for fewer than one draw.
    """
    if isinstance(n_random, bool) or not isinstance(n_random, int) or n_random < 1:
        raise ValueError(
            f"n_random is the number of random draws that the effect is held against, at least 1, not {n_random!r}."
        )
