"""The measures that step 01's claims are checked on, from the trained groups of one seed."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.checkpoints.toy_networks import TrainedGroup
from mechscope.labs.superposition.adversarial import vulnerability
from mechscope.labs.superposition.config import PRIVILEGED_DENSITY
from mechscope.labs.superposition.geometry import (
    angles,
    dimensionality,
    dimensions_per_feature,
    polytopes,
    represented,
)
from mechscope.labs.superposition.gradients import losses
from mechscope.labs.superposition.phase_diagram import SUPERPOSED, boundary, phase_of
from mechscope.labs.superposition.training import batch_for

Trained = Mapping[str, TrainedGroup]
"""Group name → trained group."""

COUNT_PAPER = (5, 8, 9, 10, 11, 13, 14)
"""The claim's number of represented features at each of COUNT_DENSITY."""
ATTACKED_INPUTS = 200
"""Inputs that the adversarial vulnerability is averaged over."""
STICKY = (0.3, 0.55)
"""Range of densities in which features come in antipodal pairs."""
FRACTIONS = {"1/2": (2, 1), "2/5": (5, 2), "3/8": (8, 3), "3/4": (4, 3), "2/3": (3, 2)}
"""Fraction → (features, dimensions) of its polytope."""
POLYTOPES = ("polytopes", "dense-polytopes")
"""Groups that are searched for polytopes."""
SHAPE_TOLERANCE = 0.03
"""How far a polytope's mean D_i may be from its fraction."""
MONOSEMANTIC = 0.9
"""A unit is monosemantic if one feature has at least this share of its squared weights."""
ALIVE = 0.1
"""A unit whose input weights have a smaller norm is dead."""
COMPARED_DENSITY = 0.03
"""Density at which the networks that compute absolute values are compared with the one that was trained dense."""


def measure(trained: Trained, seed: int) -> dict[str, float]:
    """All measures by name, except those of groups that this budget does not train."""
    found = {
        **_counts(trained["counting"]),
        **_intro(trained["intro"]),
        **_pentagon(trained["pentagon"]),
        **_boundary(trained["boundary"]),
        **_crowd(trained["crowd"], seed),
        **_shapes([trained[name] for name in POLYTOPES if name in trained] or [trained["crowd"]], seed),
        "cos_correlated": _largest_cosine(trained["correlated"]),
        "cos_anticorrelated": _largest_cosine(trained["anticorrelated"], signed=True),
    }
    if "privileged" in trained:
        found |= _privileged(trained["privileged"])
    if "abs" in trained:
        found |= _absolute(trained["abs"], seed)
    return found


def count_medians(group: TrainedGroup) -> list[float]:
    """Number of represented features at each density: the median over the starts."""
    counts = represented(group.models.W).sum(-1).double()
    return counts.quantile(0.5, dim=1).tolist()


def _counts(group: TrainedGroup) -> dict[str, float]:
    dense = represented(group.models.W[0]).sum(-1)
    medians = count_medians(group)
    rises = [after - before for before, after in itertools.pairwise(medians)]
    off = [abs(median - paper) for median, paper in zip(medians, COUNT_PAPER, strict=True)]
    return {
        "dense_fewest": float(dense.min()),
        "dense_most": float(dense.max()),
        "count_smallest_rise": min(rises),
        "count_off_by": max(off),
    }


def _intro(group: TrainedGroup) -> dict[str, float]:
    counts = represented(group.best_W).sum(-1)
    return {"intro_dense": float(counts[0]), "intro_sparse": float(counts[-1])}


def _pentagon(group: TrainedGroup) -> dict[str, float]:
    W = group.models.W[0]
    close = ((dimensionality(W) - 0.4).abs() < 0.03).all(-1)
    best = group.best_W[0]
    return {
        "pentagons": 100 * float(close.float().mean()),
        "pentagon_starts": float(len(W)),
        "pentagon_angle_off": float((angles(best) - 72).abs().max()),
    }


def _boundary(group: TrainedGroup) -> dict[str, float]:
    density = torch.tensor(group.group.density)
    importance = torch.tensor(group.group.importance)[:, 1]
    phase = phase_of(group.best_W)
    ratio = density / boundary(importance)
    # The bounds leave room for the rounding error of the settings' densities.
    below, above = ratio <= 0.8001, (ratio >= 1.6999) | ((importance == 1) & (density >= 0.8999))
    less_important = torch.where(importance < 1, 0, torch.where(importance > 1, 1, -1))
    ignored = (phase == less_important) | ((less_important == -1) & (phase < SUPERPOSED))
    transitions = [
        float(ratio[(importance == value) & (phase == SUPERPOSED)].amax())
        for value in importance.unique()
        if bool(((importance == value) & (phase == SUPERPOSED)).any())
    ]
    return {
        "below_antipodal": 100 * float((phase[below] == SUPERPOSED).float().mean()),
        "above_ignored": 100 * float(ignored[above].float().mean()),
        "settings_below": float(below.sum()),
        "settings_above": float(above.sum()),
        "last_antipodal_lowest": min(transitions, default=0.0),
        "last_antipodal_highest": max(transitions, default=0.0),
    }


def shape_counts(group: TrainedGroup) -> dict[str, int]:
    """How many polytopes of each fraction there are in all instances, counting those with the right mean D_i."""
    counts = dict.fromkeys(FRACTIONS, 0)
    for W in group.models.W.flatten(0, 1):
        for polytope in polytopes(W):
            for name, (features, dimensions) in FRACTIONS.items():
                right_shape = polytope.shape == (features, dimensions)
                off_by = abs(polytope.dimensionality - dimensions / features)
                counts[name] += right_shape and off_by <= SHAPE_TOLERANCE
    return counts


def _shapes(groups: Sequence[TrainedGroup], seed: int) -> dict[str, float]:
    counts = [shape_counts(group) for group in groups]
    null = sum(sum(shape_counts(shuffled(group, seed)).values()) for group in groups)
    return {
        **{f"shapes_{name}": float(sum(count[name] for count in counts)) for name in FRACTIONS},
        "shapes_shuffled": float(null),
        "shapes_instances": float(sum(group.group.instances for group in groups)),
    }


def _crowd(group: TrainedGroup, seed: int) -> dict[str, float]:
    W, density = group.models.W, torch.tensor(group.group.density)
    D, there = dimensionality(W), represented(W)
    sticky = (density >= STICKY[0]) & (density <= STICKY[1])
    at_half = (D[sticky] - 0.5).abs() < 0.02
    per_feature = dimensions_per_feature(W)
    packing = 100 * D.sum(-1) / W.shape[2]
    room = [float(1 / per_feature[k, group.best(k)]) for k in range(len(density))]
    harm = vulnerabilities(group, seed)
    return {
        "at_half": 100 * float(at_half[there[sticky]].float().mean()),
        "D_star_dense": float(per_feature[density == 1].mean()),
        "packing_least": float(packing.min()),
        "packing_most": float(packing.max()),
        "vulnerability_dense": float(harm[density == 1][0]),
        "vulnerability_most": float(harm.max()),
        "vulnerability_dense_on_sparse": float(_dense_on_sparse(group, seed)),
        "vulnerability_correlation": float(torch.corrcoef(torch.stack([torch.tensor(room), harm]))[0, 1]),
    }


def vulnerabilities(group: TrainedGroup, seed: int) -> Tensor:
    """Vulnerability of the best instance of each density, on fresh inputs."""
    x, _ = batch_for(group.group, seed, group.group.steps + 1000, group.models.W.device)
    return torch.stack(
        [
            vulnerability(group.models.select(k, group.best(k)), x[k : k + 1, :, :ATTACKED_INPUTS])
            for k in range(len(x))
        ]
    )


def _dense_on_sparse(group: TrainedGroup, seed: int) -> Tensor:
    """Vulnerability of the network that was trained on the densest inputs, on the sparsest ones.

    It shows what sparsity does without superposition.
    """
    x, _ = batch_for(group.group, seed, group.group.steps + 1000, group.models.W.device)
    density = torch.tensor(group.group.density)
    dense, sparse = int(density.argmax()), int(density.argmin())
    instance = group.models.select(dense, group.best(dense))
    return vulnerability(instance, x[sparse : sparse + 1, :, :ATTACKED_INPUTS])


def shuffled(group: TrainedGroup, seed: int) -> TrainedGroup:
    """The group with the weights of each instance in random order: the null for everything about its geometry."""
    W = group.models.W
    generator = torch.Generator().manual_seed(seed)
    flat = W.flatten(2)
    order = torch.rand(flat.shape, generator=generator).argsort(-1)
    mixed = flat.gather(2, order).view_as(W)
    models = dataclasses.replace(group.models, W=mixed, W_out=mixed)
    return dataclasses.replace(group, models=models)


def _largest_cosine(group: TrainedGroup, signed: bool = False) -> float:
    W = group.best_W[0]
    unit = W / W.norm(dim=0).clamp_min(1e-9)
    cosines = (unit[:, 0::2] * unit[:, 1::2]).sum(0)
    # A feature without a direction has no angle to its partner.
    cosines = torch.where(represented(W).view(-1, 2).all(-1), cosines, torch.nan)
    return float(cosines.max() if signed else cosines.abs().max())


def _privileged(group: TrainedGroup) -> dict[str, float]:
    share = {p: largest_share(W) for p, W in zip(PRIVILEGED_DENSITY, group.best_W, strict=True)}
    dense = torch.cat([row for p, row in share.items() if p >= 0.5])
    sparse = torch.cat([row for p, row in share.items() if 0.05 <= p <= 0.08])
    return {
        "mono_dense": 100 * float((dense >= MONOSEMANTIC).float().mean()),
        "poly_sparse": 100 * float((sparse < MONOSEMANTIC).float().mean()),
        "privileged_starts": float(group.group.starts),
    }


def largest_share(W: Float[Tensor, "*stack hidden feature"]) -> Float[Tensor, "*stack hidden"]:
    """Largest share of each unit's squared input weights that belongs to one feature; 1/k for k equal ones."""
    square = W.square()
    return square.amax(-1) / square.sum(-1).clamp_min(1e-20)


def monosemantic_share(W: Float[Tensor, "hidden feature"]) -> float:
    """Share of the units that are monosemantic, not counting dead ones; 0 if all are dead."""
    alive = W.norm(dim=-1) > ALIVE
    if not bool(alive.any()):
        return 0.0
    return float((largest_share(W)[alive] >= MONOSEMANTIC).float().mean())


def abs_shares(group: TrainedGroup) -> list[float]:
    """Percentage of monosemantic units at each density: the mean over the starts."""
    return [100 * sum(monosemantic_share(W) for W in starts) / len(starts) for starts in group.models.W]


def _absolute(group: TrainedGroup, seed: int) -> dict[str, float]:
    shares = abs_shares(group)
    rises = [after - before for before, after in itertools.pairwise(shares)]
    return {
        "abs_largest_rise": max(rises),
        "abs_dense": shares[0],
        "abs_sparse": shares[-1],
        **_losses_on_sparse_data(group, seed),
    }


def _losses_on_sparse_data(group: TrainedGroup, seed: int) -> dict[str, float]:
    """Is the polysemantic network the better one?

    It is compared with the network that was trained dense, with nothing changed but its biases, which are scaled by the
    density.
    """
    at = group.group.density.index(COMPARED_DENSITY)
    x, target = batch_for(group.group, seed, group.group.steps + 1000, group.models.W.device)
    importance = torch.tensor(group.group.importance)[at : at + 1]
    dense = group.models.select(0, group.best(0))
    dense = dataclasses.replace(dense, b=dense.b * COMPARED_DENSITY)
    polysemantic = group.models.select(at, group.best(at))
    here = slice(at, at + 1)
    return {
        "abs_loss": float(losses(polysemantic, x[here], target[here], importance)),
        "abs_loss_dense_trained": float(losses(dense, x[here], target[here], importance)),
    }
