"""Compare an effect with a null distribution: the same intervention with random directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mechscope.arguments import is_whole_number
from mechscope.results import Provenance, Result, make_result


@dataclass(frozen=True)
class RandomNull:
    """The effects of an intervention and of its random counterparts."""

    effects: Result
    """dims ("series",): the chosen intervention, and any others it is compared with."""
    null: Result
    """dims ("draw",): the same intervention with random directions."""

    @property
    def share_as_strong(self) -> float:
        """The fraction of random draws whose effect is at least as large as that of the first series, in magnitude."""
        chosen = abs(float(self.effects.values[0]))
        return float((abs(self.null.values) >= chosen).mean())

    def figure(self) -> Any:
        """Bars: the chosen intervention, what it is compared with, and the lowest and highest random draw."""
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
        """Display the figure and return it."""
        figure = self.figure()
        figure.show()
        return figure

    def __repr__(self) -> str:
        first = str(self.effects.values.coords["series"].values[0])
        return (
            f"<{self.effects.title} [{self.effects.unit}]: {first} {float(self.effects.values[0]):.3g}; random "
            f"{float(self.null.values.min()):.3g} to {float(self.null.values.max()):.3g}; {self.effects.provenance}>"
        )


def with_random_null(
    chosen: dict[str, torch.Tensor],
    null: torch.Tensor,
    *,
    title: str,
    null_title: str,
    unit: str,
    provenance: Provenance,
) -> RandomNull:
    """Combine the chosen effects by name (one number each) with the effects of the random draws [draw]."""
    effects = make_result(
        torch.stack(list(chosen.values())),
        ("series",),
        title,
        unit,
        provenance,
        {"series": np.array(list(chosen))},
        "bars",
    )
    return RandomNull(effects, make_result(null, ("draw",), null_title, unit, provenance, kind="bars"))


def check_count(n_random: int) -> None:
    """Check that there is at least one random draw.

    Raises:
        ValueError: for fewer than one draw.
    """
    if not is_whole_number(n_random, least=1):
        raise ValueError(
            f"n_random is the number of random draws to compare with and must be at least 1, not {n_random!r}."
        )
