"""Synthetic activations with known features, with which a dictionary's features can be compared.

x = Σ coefficient · direction. The settings differ in how often features are active, and which are active together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mechscope.arguments import brief_repr
from mechscope.near_names import did_you_mean

Presence = Callable[[int, torch.Generator], Bool[Tensor, "batch feature"]]


@dataclass(frozen=True)
class SyntheticFeatures:
    """Known features and their distribution."""

    name: str
    """Name of the distribution."""
    directions: Float[Tensor, "feature d_in"]
    """The features' directions; unit vectors unless they were given."""
    present: Presence
    """A function of n and a generator that draws which features are active in n examples."""
    least: float = 0.0
    """Smallest coefficient of an active feature."""
    most: float = 1.0
    """Largest coefficient; coefficients are uniform between the two."""

    __repr__ = brief_repr

    @property
    def d_in(self) -> int:
        """Width of the activations."""
        return self.directions.shape[1]

    def sample(
        self, n: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "batch d_in"], Float[Tensor, "batch feature"]]:
        """Draw n activations, and the coefficients of their features."""
        active = self.present(n, generator)
        strength = torch.rand(active.shape, generator=generator)
        coefficients = (self.least + (self.most - self.least) * strength) * active
        return coefficients @ self.directions, coefficients


def random_directions(features: int, d_in: int, generator: torch.Generator) -> Float[Tensor, "feature d_in"]:
    """Unit vectors, uniform on the sphere."""
    rows = torch.randn(features, d_in, generator=generator)
    return rows / rows.norm(dim=-1, keepdim=True)


def independent(
    d_in: int, features: int, active: float, generator: torch.Generator, *, least: float = 0.5
) -> SyntheticFeatures:
    """Features that are active independently and equally often.

    Args:
        active: average number of active features per example.
        least: smallest coefficient; the largest is least + 1.
    """
    probability = _probabilities(torch.ones(features), active)
    return SyntheticFeatures(
        "independent",
        random_directions(features, d_in, generator),
        lambda n, g: torch.rand(n, features, generator=g) < probability,
        least,
        least + 1,
    )


def power_law(
    d_in: int,
    features: int,
    active: float,
    generator: torch.Generator,
    *,
    exponent: float = 1.0,
    least: float = 0.5,
) -> SyntheticFeatures:
    """Independent features, where the probability of feature i is proportional to (i + 1)^−exponent, as for words."""
    probability = _probabilities(torch.arange(1.0, features + 1) ** -exponent, active)
    return SyntheticFeatures(
        "power law",
        random_directions(features, d_in, generator),
        lambda n, g: torch.rand(n, features, generator=g) < probability,
        least,
        least + 1,
    )


def correlated(
    d_in: int,
    features: int,
    active: float,
    generator: torch.Generator,
    *,
    group: int = 4,
    together: float = 0.6,
    least: float = 0.5,
) -> SyntheticFeatures:
    """Features of one group tend to be active together.

    Args:
        group: features per group.
        together: correlation of the Gaussian variables behind two features of a group, from 0 to 1.

    Raises:
        ValueError: if the features cannot be divided evenly into groups, or for a correlation outside 0 to 1.
    """
    _even(features, group)
    if not 0 <= together <= 1:
        raise ValueError(f"together must be a correlation between 0 and 1, not {together!r}.")
    below = _quantile(_probabilities(torch.ones(features), active))

    def present(n: int, g: torch.Generator) -> Tensor:
        shared = torch.randn(n, features // group, generator=g).repeat_interleave(group, dim=1)
        own = torch.randn(n, features, generator=g)
        return together**0.5 * shared + (1 - together) ** 0.5 * own < below

    return SyntheticFeatures(
        "correlated", random_directions(features, d_in, generator), present, least, least + 1
    )


def anticorrelated(
    d_in: int,
    features: int,
    active: float,
    generator: torch.Generator,
    *,
    group: int = 4,
    least: float = 0.5,
) -> SyntheticFeatures:
    """At most one feature of each group is active.

    Raises:
        ValueError: if the features cannot be divided evenly into groups, or a group's probability would exceed 1.
    """
    _even(features, group)
    groups = features // group
    if not 0 < active <= groups:
        raise ValueError(f"with {groups} groups, at most {groups} features can be active, not {active!r}.")

    def present(n: int, g: torch.Generator) -> Tensor:
        # One random number decides whether a group has an active feature, and which one.
        drawn = torch.rand(n, groups, generator=g) * groups / active
        which = (drawn * group).floor().long()
        return (which[:, :, None] == torch.arange(group)).flatten(1)

    return SyntheticFeatures(
        "anticorrelated", random_directions(features, d_in, generator), present, least, least + 1
    )


def hierarchical(
    d_in: int,
    features: int,
    active: float,
    generator: torch.Generator,
    *,
    children: int = 3,
    inherited: float = 0.2,
    least: float = 0.5,
) -> SyntheticFeatures:
    """Parent features, each with children that are active only if the parent is.

    Features are ordered as a parent, its children, the next parent, … Such a hierarchy leads to feature absorption: a
    child's latent can take over its parent's direction.

    Args:
        children: children per parent.
        inherited: probability of a child if its parent is active.

    Raises:
        ValueError: if the features cannot be divided evenly into families, or for invalid probabilities.
    """
    _even(features, children + 1)
    if not 0 < inherited <= 1:
        raise ValueError(f"inherited must be a probability above 0, not {inherited!r}.")
    families = features // (children + 1)
    probability = _probabilities(torch.ones(families), active / (1 + children * inherited))

    def present(n: int, g: torch.Generator) -> Tensor:
        parent = torch.rand(n, families, generator=g) < probability
        child = torch.rand(n, families, children, generator=g) < inherited
        return torch.cat([parent[:, :, None], parent[:, :, None] & child], dim=2).flatten(1)

    return SyntheticFeatures(
        "hierarchical", random_directions(features, d_in, generator), present, least, least + 1
    )


def sharkey(
    generator: torch.Generator,
    *,
    d_in: int = 256,
    features: int = 512,
    active: float = 5.0,
    decay: float = 0.99,
    factors: int = 16,
    shared: float = 0.5,
) -> SyntheticFeatures:
    """The setting of Sharkey, Braun and Millidge 2022, "Taking features out of superposition".

    There are more features than dimensions, about five of which are active per example. They are randomly correlated,
    each is rarer than the one before, and coefficients are uniform on [0, 1]. Here, the correlations come from a few
    common factors.

    Args:
        decay: ratio of the probabilities of feature i + 1 and feature i.
        factors: number of common factors.
        shared: share of a feature's variance that the common factors explain.
    """
    below = _quantile(_probabilities(decay ** torch.arange(features), active))
    loadings = random_directions(features, factors, generator)

    def present(n: int, g: torch.Generator) -> Tensor:
        common = torch.randn(n, factors, generator=g) @ loadings.T
        own = torch.randn(n, features, generator=g)
        return shared**0.5 * common + (1 - shared) ** 0.5 * own < below

    return SyntheticFeatures("sharkey", random_directions(features, d_in, generator), present)


def toy_model_space(W: Float[Tensor, "hidden feature"], density: float) -> SyntheticFeatures:
    """The hidden space of step 01's toy model h = W x: independent features, uniform on [0, 1] when active.

    Args:
        W: the model's weights; features that it does not represent have short columns.
        density: probability that a feature is active (1 − S in the paper).
    """
    if not 0 < density <= 1:
        raise ValueError(f"density must be a probability above 0, not {density!r}.")
    features = W.shape[1]
    directions = W.detach().T.contiguous().float()
    return SyntheticFeatures(
        "toy model", directions, lambda n, g: torch.rand(n, features, generator=g) < density
    )


def _probabilities(weights: Tensor, active: float) -> Float[Tensor, " feature"]:
    """Probabilities proportional to the weights, with the sum `active`."""
    probability = weights / weights.sum() * active
    if not active > 0 or float(probability.max()) > 1:
        raise ValueError(
            f"with {active!r} active features of {len(weights)}, the most frequent one would have the probability "
            f"{float(probability.max()):.2f}; choose fewer."
        )
    return probability


def _quantile(probability: Tensor) -> Tensor:
    """The value that a standard normal variable is below with this probability."""
    return torch.special.ndtri(probability.double()).float()


def _even(features: int, group: int) -> None:
    if group < 1 or features % group:
        raise ValueError(f"{features} features cannot be divided into groups of {group}.")


SETTINGS: Mapping[str, Callable[[torch.Generator], SyntheticFeatures]] = {
    "sharkey": sharkey,
    "sharkey-small": lambda g: sharkey(g, d_in=64, features=128, active=3.0, decay=0.98),
    "independent": lambda g: independent(64, 128, 4.0, g),
    "power-law": lambda g: power_law(64, 128, 4.0, g, exponent=0.5),
    "correlated": lambda g: correlated(64, 128, 4.0, g),
    "anticorrelated": lambda g: anticorrelated(64, 128, 4.0, g),
    "hierarchical": lambda g: hierarchical(64, 128, 4.0, g),
}
"""Name → a function that makes the features. "sharkey" has the published size (256 dimensions, 512 features), the
others have 64 dimensions and 128 features."""


def named_features(name: str, generator: torch.Generator) -> SyntheticFeatures:
    """The synthetic features of a named setting.

    Raises:
        KeyError: for an unknown name; suggests the closest ones.
    """
    if name not in SETTINGS:
        hint = did_you_mean(name, SETTINGS, n=2)
        raise KeyError(f"there are no known features called {name!r}; there are {', '.join(SETTINGS)}.{hint}")
    return SETTINGS[name](generator)
