"""Known features by name, in sizes that train in seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from mechscope.dictionaries import synthetic
from mechscope.dictionaries.synthetic import SyntheticFeatures
from mechscope.near_names import did_you_mean

Make = Callable[[torch.Generator], SyntheticFeatures]

SETTINGS: Mapping[str, Make] = {
    "sharkey": synthetic.sharkey,
    "sharkey-small": lambda g: synthetic.sharkey(g, d_in=64, features=128, active=3.0, decay=0.98),
    "independent": lambda g: synthetic.independent(64, 128, 4.0, g),
    "power-law": lambda g: synthetic.power_law(64, 128, 4.0, g, exponent=0.5),
    "correlated": lambda g: synthetic.correlated(64, 128, 4.0, g),
    "anticorrelated": lambda g: synthetic.anticorrelated(64, 128, 4.0, g),
    "hierarchical": lambda g: synthetic.hierarchical(64, 128, 4.0, g),
}
"""Name → how the features are made. "sharkey" has the published size (256 dimensions, 512 features), the others 64
dimensions and 128 features."""


def known_features(name: str, generator: torch.Generator) -> SyntheticFeatures:
    """The features of a setting.

    Raises:
        KeyError: for a name that is none, with the nearest ones.
    """
    if name not in SETTINGS:
        hint = did_you_mean(name, SETTINGS, n=2)
        raise KeyError(f"there are no known features called {name!r}; there are {', '.join(SETTINGS)}.{hint}")
    return SETTINGS[name](generator)
