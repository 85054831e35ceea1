"""Which arrangement has the lowest loss? Many starts, the candidates among them, on one large fixed sample.

The losses of arrangements differ by a few tenths of a percent, less than the noise of random batches. So these
networks see the same quasi-random points at every step, and are compared on other points. Each candidate arrangement is
one of the starts, so it is compared even if no random start finds it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.checkpoints.toy_networks import ToyModels
from mechscope.labs.superposition.geometry import represented
from mechscope.labs.superposition.gradients import gradients, losses
from mechscope.labs.superposition.shape_gains import gains
from mechscope.runs.workspace import Workspace

TEST_POINTS = 2**15
"""Points that arrangements are compared on."""
LEARNING_RATE = 0.02
"""Adam's learning rate: constant in the first half of the training, then falling linearly to zero."""
TETRAHEDRON_DENSITY = (0.65, 0.7, 0.8, 0.9)
"""Densities at which a tetrahedron is the best arrangement of four features in three dimensions."""
SPARSE = 0.3
"""A density at which it is not the best."""
DIGON_DENSITY = (0.1, 0.05)
"""Densities of the four equal features. The claim is about the first."""
DIGON_RATIO = (1.0, 0.8, 0.65, 0.5, 0.4, 0.3, 0.25, 0.2)
"""Densities of the fifth feature, as multiples of the others'."""
SKIPPED_RATIOS = 2
"""How many of these, from the first, are skipped in the search for a crossing: there the fifth feature is nearly as
dense as the others, so it finds its way back in, and both starts end in the same arrangement."""
DENSER = 2.5
"""The ratio of the null, in which the fifth feature is denser than the others."""
PAIR_DENSITY = (0.7, 0.6, 0.03, 0.02)
"""Densities of the correlated pairs: two at which they collapse, two at which they do not."""
TRIPLE_DENSITY = (0.1, 0.03)
"""Densities of the correlated triples."""


@dataclass(frozen=True)
class Settled:
    """Networks after training."""

    W: Float[Tensor, "setting start hidden feature"]
    """Features as directions."""
    loss: Float[Tensor, "setting start"]
    """Loss on points that were not trained on."""

    @property
    def best(self) -> Float[Tensor, "setting hidden feature"]:
        """The start with the lowest loss of each setting."""
        return self.W[torch.arange(len(self.W)), self.loss.argmin(1)]


def sparse_points(
    density: Float[Tensor, "setting feature"], sets: Sequence[int], points: int, seed: int
) -> Float[Tensor, "setting feature point"]:
    """Quasi-random sparse features. Features of one set are present together, with independent strengths.

    Args:
        density: probability of being present; the same for all features of a set.
        sets: sizes of the sets, in the order of the features; all 1 for independent features.

    Raises:
        ValueError: if the sets do not add up to the features, or a set has more than one density.
    """
    if sum(sets) != density.shape[1]:
        raise ValueError(
            f"sets of {list(sets)} features have {sum(sets)} features in all, but there are densities for "
            f"{density.shape[1]}."
        )
    member = torch.repeat_interleave(torch.arange(len(sets)), torch.tensor(sets))
    first = torch.tensor([sum(sets[:row]) for row in range(len(sets))])
    if not density.equal(density[:, first][:, member]):
        raise ValueError("features of one set are present together, so they must have the same density.")
    if max(sets) == 1:
        # One draw decides both presence and strength: below p the feature is present, and u/p is uniform again. Fewer
        # dimensions mean less noise.
        strength = _draw(len(member), points, seed) / density[:, :, None]
        return strength * (strength < 1)
    drawn = _draw(len(sets) + len(member), points, seed)
    return drawn[len(sets) :] * (drawn[member] < density[:, :, None])


def _draw(dimensions: int, points: int, seed: int) -> Float[Tensor, "dimension point"]:
    return torch.quasirandom.SobolEngine(dimensions, scramble=True, seed=seed).draw(points).T


def settle(
    starts: Float[Tensor, "setting start hidden feature"],
    density: Float[Tensor, "setting feature"],
    sets: Sequence[int],
    *,
    steps: int,
    points: int,
    seed: int,
) -> Settled:
    """Train x ↦ ReLU(WᵀWx + b) from every start, with all features equally important."""
    W, b = starts.clone(), torch.zeros(*starts.shape[:2], starts.shape[3])
    importance = torch.ones(density.shape)
    x = sparse_points(density, sets, points, seed)
    optimizer = torch.optim.Adam([W, b], lr=LEARNING_RATE)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * min(1.0, 2 * (1 - step / steps))
        found = gradients(ToyModels("linear", W, W, b), x, x, importance)
        W.grad, b.grad = found.W, found.b
        optimizer.step()
    fresh = sparse_points(density, sets, TEST_POINTS, seed + 1)
    return Settled(W.detach(), losses(ToyModels("linear", W, W, b), fresh, fresh, importance))


def random_starts(
    settings: int, starts: int, hidden: int, features: int, seed: int, planted: Sequence[Tensor] = ()
) -> Float[Tensor, "setting start hidden feature"]:
    """The same starts for every setting: the planted arrangements, then random ones."""
    generator = torch.Generator().manual_seed(seed)
    drawn = 0.5 * torch.randn(starts, hidden, features, generator=generator)
    return torch.cat([torch.stack(list(planted)), drawn] if planted else [drawn]).repeat(settings, 1, 1, 1)


def tetrahedron() -> Float[Tensor, "3 4"]:
    """Four directions in space with all cosines -1/3."""
    return torch.tensor([[1.0, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]]) / 3**0.5


def pentagon() -> Float[Tensor, "2 5"]:
    """Five directions in the plane, 72° apart."""
    turn = 2 * math.pi * torch.arange(5) / 5
    return torch.stack([turn.cos(), turn.sin()])


def two_digons() -> Float[Tensor, "2 5"]:
    """Four of the five features in two antipodal pairs, without feature 0."""
    return torch.tensor([[0.0, 1, -1, 0, 0], [0, 0, 0, 1, -1]])


def stored_arrangements(
    workspace: Workspace, seed: int, *, starts: int, steps: int, points: int
) -> dict[str, Settled]:
    """`study_arrangements`, or the saved result of an earlier run."""

    def compute() -> dict[str, Tensor]:
        found = study_arrangements(seed, starts=starts, steps=steps, points=points)
        return {f"{name}.{key}": value for name, each in found.items() for key, value in vars(each).items()}

    part = workspace.load_or_compute(f"arrangements-seed-{seed}", compute)
    names = sorted({name.rpartition(".")[0] for name in part})
    return {name: Settled(part[f"{name}.W"].cpu(), part[f"{name}.loss"].cpu()) for name in names}


def study_arrangements(seed: int, *, starts: int, steps: int, points: int) -> dict[str, Settled]:
    """Train the networks of every comparison.

    Args:
        starts: random starts per setting, in addition to the planted ones.
        steps: steps of each training.
        points: inputs of each training; for the tetrahedron, four times as many.

    Returns:
        "tetrahedron", "digons", "pairs" and "triples"; and the nulls "pairs-alone" and "triples-alone", whose features
        are independent.
    """
    training = {"steps": steps, "points": points, "seed": 2 * seed}

    def equal(density: Sequence[float], features: int) -> Tensor:
        return torch.tensor(density)[:, None].repeat(1, features)

    four = equal((SPARSE, *TETRAHEDRON_DENSITY), 4)
    five = equal([p for p in DIGON_DENSITY for _ in (*DIGON_RATIO, DENSER)], 5)
    five[:, 0] *= torch.tensor((*DIGON_RATIO, DENSER) * len(DIGON_DENSITY))
    pairs, triples = equal(PAIR_DENSITY, 6), equal(TRIPLE_DENSITY, 6)

    def starts_for(density: Tensor, hidden: int, planted: Sequence[Tensor] = ()) -> Tensor:
        return random_starts(len(density), starts, hidden, density.shape[1], seed, planted)

    return {
        # At the highest density the tetrahedron leads by so little that its cosines need a denser sample.
        "tetrahedron": settle(
            starts_for(four, 3, [tetrahedron()]), four, (1,) * 4, **{**training, "points": 4 * points}
        ),
        "digons": settle(starts_for(five, 2, [pentagon(), two_digons()]), five, (1,) * 5, **training),
        "pairs": settle(starts_for(pairs, 2), pairs, (2, 2, 2), **training),
        "pairs-alone": settle(starts_for(pairs, 2), pairs, (1,) * 6, **training),
        "triples": settle(starts_for(triples, 3), triples, (3, 3), **training),
        "triples-alone": settle(starts_for(triples, 3), triples, (1,) * 6, **training),
    }


# Measures ---------------------------------------------------------------------------------------


def cosines(W: Float[Tensor, "*stack hidden feature"]) -> Float[Tensor, "*stack feature feature"]:
    """Cosine of every two features."""
    unit = W / W.norm(dim=-2, keepdim=True).clamp_min(1e-9)
    return unit.transpose(-1, -2) @ unit


def off_tetrahedron(W: Float[Tensor, "*stack 3 4"]) -> Float[Tensor, "*stack"]:
    """How far the worst cosine is from -1/3; infinite if a feature is not represented.

    Dimensionality is not enough to recognise a tetrahedron: it stays 3/4 if a feature is turned round.
    """
    others = cosines(W)[..., ~torch.eye(4, dtype=torch.bool)]
    off = (others + 1 / 3).abs().amax(-1)
    return torch.where(represented(W).all(-1), off, torch.inf)


def held_tetrahedron(density: float) -> float:
    """Loss of four features held in a regular tetrahedron, with the best scale and bias."""
    variance = density / 3 - density**2 / 4
    gain = float(gains([density])["tetrahedron"][0])  # 4 (variance - loss) / (3 variance)
    return 4 * variance * (1 - 3 * gain / 4)


def crossing(
    ratio: Sequence[float], first: Float[Tensor, " ratio"], second: Float[Tensor, " ratio"]
) -> float:
    """The ratio at which the first arrangement's loss rises above the second's, interpolated in logarithms.

    Leads of less than a thousandth are ignored: both starts have then ended in the same arrangement.

    Returns:
        The ratio; NaN if the first arrangement is worse at the first ratio, or not worse at the last one.
    """
    lead = (second / first).log().double()
    lead = torch.where(lead.abs() < 1e-3, 0.0, lead)
    if not (float(lead[0]) >= 0 > float(lead[-1])):
        return math.nan
    after = int((lead < 0).nonzero()[0])
    share = float(lead[after - 1] / (lead[after - 1] - lead[after]))
    ends = math.log(ratio[after - 1]), math.log(ratio[after])
    return math.exp(ends[0] + share * (ends[1] - ends[0]))


def collapsed_pairs(W: Float[Tensor, "2 6"]) -> int:
    """Number of pairs whose features share one direction, the pair's principal component."""
    cosine, present = cosines(W), represented(W)
    return sum(
        bool(present[2 * row : 2 * row + 2].all()) and float(cosine[2 * row, 2 * row + 1]) > 0.9
        for row in range(3)
    )


def antipodes(W: Float[Tensor, "3 6"]) -> list[int]:
    """The feature opposite each one (cosine below -0.85); empty if the six do not form an octahedron."""
    lowest = cosines(W).min(dim=1)
    opposite = lowest.indices.tolist()
    is_octahedron = (
        bool(represented(W).all())
        and float(lowest.values.max()) < -0.85
        and all(opposite[opposite[row]] == row for row in range(6))
    )
    return opposite if is_octahedron else []


def crossed_octahedra(found: Settled, near: float = 1.02) -> tuple[float, int]:
    """Share of octahedra, among starts whose loss is near the lowest, in which antipodes come from different triples.

    Returns:
        The share (NaN without any octahedron), and how many there are over all settings.
    """
    crossed: list[bool] = []
    for W, loss in zip(found.W, found.loss, strict=True):
        for start in (loss <= near * loss.min()).nonzero().flatten().tolist():
            if opposite := antipodes(W[start]):
                crossed.append(all((row < 3) != (other < 3) for row, other in enumerate(opposite)))
    return (sum(crossed) / len(crossed) if crossed else math.nan), len(crossed)


def measure_arrangements(found: dict[str, Settled]) -> dict[str, float]:
    """The measures of claims 1.7c, 1.13 and 1.14."""
    four = found["tetrahedron"]
    off = off_tetrahedron(four.W)
    others = torch.where(off > 0.1, four.loss, torch.inf).amin(1)
    five = found["digons"]
    count = len(DIGON_RATIO)
    rows = [
        slice(k * (count + 1) + SKIPPED_RATIOS, k * (count + 1) + count) for k in range(len(DIGON_DENSITY))
    ]
    ratios = DIGON_RATIO[SKIPPED_RATIOS:]
    crossings = [1 / crossing(ratios, five.loss[row, 0], five.loss[row, 1]) for row in rows]
    norms = five.best.norm(dim=1)[:, 0]
    at_claim = DIGON_RATIO.index(1 / DENSER)
    dense = [collapsed_pairs(W) for W, p in zip(found["pairs"].best, PAIR_DENSITY, strict=True) if p > 0.5]
    sparse = [collapsed_pairs(W) for W, p in zip(found["pairs"].best, PAIR_DENSITY, strict=True) if p < 0.05]
    share, octahedra = crossed_octahedra(found["triples"])
    alone, _ = crossed_octahedra(found["triples-alone"])
    return {
        "tetrahedron_off": float(off[torch.arange(len(off)), four.loss.argmin(1)][1:].max()),
        "tetrahedron_lead": 100 * float((others / four.loss.amin(1) - 1)[1:].min()),
        "tetrahedron_sparse": 100 * (float(four.loss[0].min()) / held_tetrahedron(SPARSE) - 1),
        "arrangement_starts": float(four.loss.shape[1]),
        "digon_crossing": crossings[0],
        "digon_crossing_sparser": crossings[1],
        "digon_norm_equal": float(norms[0]),
        "digon_norm_sparse": float(norms[at_claim]),
        "digon_norm_denser": float(norms[count]),
        "pairs_collapsed_dense": float(min(dense)),
        "pairs_collapsed_sparse": float(max(sparse)),
        "pairs_collapsed_alone": float(max(map(collapsed_pairs, found["pairs-alone"].best))),
        "octahedra": float(octahedra),
        "octahedra_crossed": 100 * share,
        "octahedra_crossed_alone": 100 * alone,
    }
