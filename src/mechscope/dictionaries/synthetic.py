"""Activations whose features are known: what a dictionary finds in them can be compared with the truth.

x = Σ coefficient · direction. The kinds differ in which features are active together, and how often.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mechscope.near_names import did_you_mean

Presence = Callable[[int, torch.Generator], Bool[Tensor, "batch feature"]]


@dataclass(frozen=True)
class SyntheticFeatures:
    """Known features and how they occur."""

    name: str
    """Which kind."""
    directions: Float[Tensor, "feature d_in"]
    """Where each feature points; unit length unless they were given."""
    present: Presence
    """Which features are active in n examples."""
    least: float = 0.0
    """Smallest coefficient of an active feature."""
    most: float = 1.0
    """Largest; coefficients are uniform between the two."""

    @property
    def d_in(self) -> int:
        """Width of the activations."""
        return self.directions.shape[1]

    def sample(
        self, n: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "batch d_in"], Float[Tensor, "batch feature"]]:
        """n activations and the coefficients they are made of."""
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
    """Each feature is present on its own, all equally often.

    Args:
        active: features present in one example, on average.
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
    """Independent, but feature i is present in proportion to (i + 1)^−exponent, as words are."""
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
    """Features of one group tend to be present together.

    Args:
        group: features of a group.
        together: correlation of the Gaussian variables behind two features of a group, from 0 to 1.

    Raises:
        ValueError: if the features cannot be divided evenly into groups, or for a correlation outside 0 to 1.
    """
    _even(features, group)
    if not 0 <= together <= 1:
        raise ValueError(f"together is a correlation between 0 and 1, not {together!r}.")
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
    """At most one feature of a group is present.

    Raises:
        ValueError: if the features cannot be divided evenly into groups, or a group's probability would exceed 1.
    """
    _even(features, group)
    groups = features // group
    if not 0 < active <= groups:
        raise ValueError(f"of {groups} groups at most {groups} features can be present, not {active!r}.")

    def present(n: int, g: torch.Generator) -> Tensor:
        # One number says whether a group is present, and which of its features that is.
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
    """Parent features, each with children that are present only if the parent is.

    Features lie as parent, its children, the next parent, … This is what invites absorption: a child's latent can
    take over its parent's direction.

    Args:
        children: of each parent.
        inherited: probability of a child where its parent is present.

    Raises:
        ValueError: if the features cannot be divided evenly into families, or for invalid probabilities.
    """
    _even(features, children + 1)
    if not 0 < inherited <= 1:
        raise ValueError(f"inherited is a probability, not {inherited!r}.")
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

    More features than dimensions, about five active, correlated at random, and rarer from one to the next; their
    coefficients are uniform on [0, 1]. The correlations here come from a few common factors.

    Args:
        decay: how often feature i + 1 is present beside feature i.
        factors: common factors that features depend on.
        shared: share of a feature's variance that they explain.
    """
    below = _quantile(_probabilities(decay ** torch.arange(features), active))
    loadings = random_directions(features, factors, generator)

    def present(n: int, g: torch.Generator) -> Tensor:
        common = torch.randn(n, factors, generator=g) @ loadings.T
        own = torch.randn(n, features, generator=g)
        return shared**0.5 * common + (1 - shared) ** 0.5 * own < below

    return SyntheticFeatures("sharkey", random_directions(features, d_in, generator), present)


def toy_model_space(W: Float[Tensor, "hidden feature"], density: float) -> SyntheticFeatures:
    """The hidden space of step 01's toy model h = W x: independent features, uniform on [0, 1] where present.

    Args:
        W: the model's weights; features that it does not represent have short columns.
        density: probability that a feature is present (the paper's 1 − S).
    """
    if not 0 < density <= 1:
        raise ValueError(f"density is a probability above 0, not {density!r}.")
    features = W.shape[1]
    directions = W.detach().T.contiguous().float()
    return SyntheticFeatures(
        "toy model", directions, lambda n, g: torch.rand(n, features, generator=g) < density
    )


def _probabilities(weights: Tensor, active: float) -> Float[Tensor, " feature"]:
    """Probabilities in proportion to weights, `active` in sum."""
    probability = weights / weights.sum() * active
    if not active > 0 or float(probability.max()) > 1:
        raise ValueError(
            f"{active!r} active features of {len(weights)} would make the commonest present with probability "
            f"{float(probability.max()):.2f}; choose fewer."
        )
    return probability


def _quantile(probability: Tensor) -> Tensor:
    """What a standard normal variable is below with this probability."""
    return torch.special.ndtri(probability.double()).float()


def _even(features: int, group: int) -> None:
    if group < 1 or features % group:
        raise ValueError(f"{features} features do not make groups of {group}.")


SETTINGS: Mapping[str, Callable[[torch.Generator], SyntheticFeatures]] = {
    "sharkey": sharkey,
    "sharkey-small": lambda g: sharkey(g, d_in=64, features=128, active=3.0, decay=0.98),
    "independent": lambda g: independent(64, 128, 4.0, g),
    "power-law": lambda g: power_law(64, 128, 4.0, g, exponent=0.5),
    "correlated": lambda g: correlated(64, 128, 4.0, g),
    "anticorrelated": lambda g: anticorrelated(64, 128, 4.0, g),
    "hierarchical": lambda g: hierarchical(64, 128, 4.0, g),
}
"""Name → how the features are made. "sharkey" has the published size (256 dimensions, 512 features), the others 64
dimensions and 128 features."""


def named_features(name: str, generator: torch.Generator) -> SyntheticFeatures:
    """The features of a setting.

    Raises:
        KeyError: for a name that is none, with the nearest ones.
    """
    if name not in SETTINGS:
        hint = did_you_mean(name, SETTINGS, n=2)
        raise KeyError(f"there are no known features called {name!r}; there are {', '.join(SETTINGS)}.{hint}")
    return SETTINGS[name](generator)
