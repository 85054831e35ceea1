"""Comparisons of arrangements, tested on hand-made cases and on sabotaged ones."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mechscope.checkpoints.toy_networks import ToyModels
from mechscope.labs import check_claims
from mechscope.labs.superposition.arrangements import (
    DENSER,
    DIGON_DENSITY,
    DIGON_RATIO,
    PAIR_DENSITY,
    SPARSE,
    TETRAHEDRON_DENSITY,
    TRIPLE_DENSITY,
    Settled,
    antipodes,
    collapsed_pairs,
    crossing,
    held_tetrahedron,
    measure_arrangements,
    off_tetrahedron,
    pentagon,
    random_starts,
    settle,
    sparse_points,
    tetrahedron,
    two_digons,
)
from mechscope.labs.superposition.claims import CLAIMS
from mechscope.labs.superposition.geometry import angles, dimensionality
from mechscope.labs.superposition.gradients import losses

OCTAHEDRON = torch.cat([torch.eye(3), -torch.eye(3)], 1)
"""Feature 0 opposite feature 3, and so on: antipodes are of different triples."""


# Points and training ----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_points_have_the_right_density_and_sets_occur_together(seed: int) -> None:
    density = torch.tensor([[0.3] * 5, [0.7] * 5])
    x = sparse_points(density, (2, 3), 4096, seed)
    present = x > 0
    assert present.double().mean(-1) == pytest.approx(density.double().numpy(), abs=0.01)
    assert present[:, 0].equal(present[:, 1])
    assert present[:, 2].equal(present[:, 4])
    both = (present[:, 0] & present[:, 2]).double().mean(-1)
    assert both.tolist() == pytest.approx([0.09, 0.49], abs=0.01)
    for row in range(2):
        assert float(x[row][present[row]].mean()) == pytest.approx(0.5, abs=0.01)
    assert float(torch.corrcoef(x[1, :, present[1, 0]][:2])[0, 1]) == pytest.approx(0, abs=0.03)


def test_sets_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="have 5 features in all, but there are densities for 4"):
        sparse_points(torch.full((1, 4), 0.5), (2, 3), 8, 0)
    with pytest.raises(ValueError, match="must have the same density"):
        sparse_points(torch.tensor([[0.5, 0.4]]), (2,), 8, 0)


def test_training_lowers_the_loss_and_compares_on_other_points() -> None:
    density = torch.full((2, 4), 0.6)
    starts = random_starts(2, 3, 3, 4, seed=1, planted=[tetrahedron()])
    assert starts.shape == (2, 4, 3, 4)
    assert starts[0, 0].equal(tetrahedron())
    found = settle(starts, density, (1,) * 4, steps=150, points=512, seed=0)
    fresh = sparse_points(density, (1,) * 4, 2**15, 1)
    untrained = losses(
        ToyModels("linear", starts, starts, torch.zeros(2, 4, 4)), fresh, fresh, torch.ones(2, 4)
    )
    assert bool((found.loss < untrained).all())
    assert found.best.shape == (2, 3, 4)
    again = settle(starts, density, (1,) * 4, steps=150, points=512, seed=0)
    assert again.W.equal(found.W)
    # Where it is the best arrangement, a tetrahedron stays one.
    assert float(off_tetrahedron(found.W[0, 0])) < 0.15


def test_a_tetrahedron_held_is_no_better_than_one_that_may_move() -> None:
    density = torch.full((1, 4), 0.8)
    found = settle(tetrahedron()[None, None], density, (1,) * 4, steps=400, points=4096, seed=0)
    assert held_tetrahedron(0.8) == pytest.approx(float(found.loss), rel=0.01)
    assert held_tetrahedron(0.8) > 0.995 * float(found.loss)


# Geometry ---------------------------------------------------------------------------------------


def test_dimensionality_is_blind_to_sign_and_cosines_are_not() -> None:
    flipped = tetrahedron() * torch.tensor([1.0, 1, 1, -1])
    for W in (tetrahedron(), flipped):
        assert dimensionality(W).tolist() == pytest.approx([0.75] * 4)
    assert float(off_tetrahedron(tetrahedron())) == pytest.approx(0, abs=1e-6)
    assert float(off_tetrahedron(flipped)) == pytest.approx(2 / 3)
    assert float(off_tetrahedron(0.1 * tetrahedron())) == math.inf  # nothing is represented


def test_planted_shapes_are_what_they_are_called() -> None:
    assert angles(pentagon()).tolist() == pytest.approx([72] * 5, abs=1e-3)
    assert two_digons().norm(dim=0).tolist() == [0, 1, 1, 1, 1]
    assert float(two_digons()[:, 1] @ two_digons()[:, 2]) == -1


def test_losses_cross_where_they_are_equal() -> None:
    ratio = (1.0, 0.5, 0.25)
    one = torch.tensor([1.0, 1.0, 1.0])
    assert crossing(ratio, one, torch.tensor([4.0, 2.0, 0.5])) == pytest.approx(0.5 * 0.25**0.25)
    assert math.isnan(crossing(ratio, one, torch.tensor([4.0, 2.0, 1.5])))  # they never cross
    assert math.isnan(crossing(ratio, one, torch.tensor([0.9, 0.8, 0.5])))  # they had crossed before


def test_pairs_that_share_a_direction_are_counted() -> None:
    merged = torch.tensor([[1.0, 1, -1, -1, 0, 0], [0, 0.1, 0, 0, 1, 1]])
    assert collapsed_pairs(merged) == 3
    apart = torch.tensor([[1.0, 0, -1, -1, 0.2, 0.2], [0, 1, 0, 0.1, 0, 0]])
    assert collapsed_pairs(apart) == 1  # one apart, one together, one not represented


def test_octahedra_and_their_antipodes() -> None:
    assert antipodes(OCTAHEDRON) == [3, 4, 5, 0, 1, 2]
    assert antipodes(OCTAHEDRON[:, [0, 3, 1, 4, 2, 5]]) == [1, 0, 3, 2, 5, 4]
    bent = OCTAHEDRON.clone()
    bent[:, 5] = torch.tensor([0.8, 0.6, 0.0])
    assert antipodes(bent) == []
    assert antipodes(0.1 * OCTAHEDRON) == []


# The claims -------------------------------------------------------------------------------------


def settled(best: list[Tensor], other: Tensor, lead: list[float]) -> Settled:
    """Two starts per setting: the planted one, and another whose loss is higher by its lead."""
    W = torch.stack([torch.stack([W, other]) for W in best])
    return Settled(W, torch.tensor([[1.0, 1 + share] for share in lead]))


def as_published() -> dict[str, Settled]:
    four = settled(
        [tetrahedron()] * 5,
        torch.eye(3, 4),
        [held_tetrahedron(SPARSE) / 1.15 - 1, *[0.01] * len(TETRAHEDRON_DENSITY)],
    )
    # At the sparse density the other start is the best one, 13 % below a tetrahedron.
    four.loss[0] = torch.tensor([1.0, 0.87]) * held_tetrahedron(SPARSE)
    dropped, kept = two_digons(), pentagon()
    best = [kept if ratio > 0.43 else dropped for ratio in (*DIGON_RATIO, DENSER)] * len(DIGON_DENSITY)
    five = torch.stack([torch.stack([kept, dropped])] * len(best))
    loss = torch.tensor(
        [[1.0, (ratio / 0.43) ** 0.5] for ratio in (*DIGON_RATIO, DENSER)] * len(DIGON_DENSITY)
    )
    merged = torch.tensor([[1.0, 1, -1, -1, 0, 0], [0, 0.1, 0, 0, 1, 1]])
    hexagon = torch.tensor([[math.cos(k * math.pi / 3), math.sin(k * math.pi / 3)] for k in range(6)]).T
    dense = sum(p > 0.5 for p in PAIR_DENSITY)
    mixed = OCTAHEDRON[:, [0, 3, 1, 4, 2, 5]]
    return {
        "tetrahedron": four,
        "digons": Settled(five, loss),
        "pairs": settled([merged] * dense + [hexagon] * (len(PAIR_DENSITY) - dense), hexagon, [0.1] * 4),
        "pairs-alone": settled([hexagon] * len(PAIR_DENSITY), hexagon, [0.1] * 4),
        "triples": settled([OCTAHEDRON] * len(TRIPLE_DENSITY), mixed, [0.1] * 2),
        "triples-alone": settled([OCTAHEDRON] * len(TRIPLE_DENSITY), mixed, [0.0] * 2),
    }


def verdicts(found: dict[str, Settled]) -> dict[str, str]:
    chosen = [claim for claim in CLAIMS if claim.needs == "arrangements"]
    return {
        checked.claim.id: checked.status for checked in check_claims(chosen, {0: measure_arrangements(found)})
    }


def flip_a_feature(found: dict[str, Settled]) -> dict[str, Settled]:
    four = found["tetrahedron"]
    return {**found, "tetrahedron": dataclasses.replace(four, W=four.W * torch.tensor([1.0, 1, 1, -1]))}


def tetrahedron_everywhere(found: dict[str, Settled]) -> dict[str, Settled]:
    four = found["tetrahedron"]
    loss = four.loss.clone()
    loss[0] = torch.tensor([1.0, 1.1]) * held_tetrahedron(SPARSE)
    return {**found, "tetrahedron": dataclasses.replace(four, loss=loss)}


def never_cross(found: dict[str, Settled]) -> dict[str, Settled]:
    five = found["digons"]
    return {
        **found,
        "digons": dataclasses.replace(five, loss=torch.tensor([1.0, 2.0]).expand(five.loss.shape)),
    }


def collapse_everywhere(found: dict[str, Settled]) -> dict[str, Settled]:
    pairs = found["pairs"]
    return {**found, "pairs": settled([pairs.best[0]] * len(PAIR_DENSITY), pairs.best[0], [0.1] * 4)}


def no_correlation_in_pairs(found: dict[str, Settled]) -> dict[str, Settled]:
    return {**found, "pairs": found["pairs-alone"]}


def no_correlation_in_triples(found: dict[str, Settled]) -> dict[str, Settled]:
    return {**found, "triples": found["triples-alone"]}


def test_arrangements_as_published_pass() -> None:
    assert set(verdicts(as_published()).values()) == {"pass"}


@pytest.mark.parametrize(
    ("sabotage", "must_fail"),
    [
        (flip_a_feature, {"1.7c"}),
        (tetrahedron_everywhere, {"1.7c"}),
        (never_cross, {"1.13"}),
        (collapse_everywhere, {"1.14a"}),
        (no_correlation_in_pairs, {"1.14a"}),
        (no_correlation_in_triples, {"1.14b"}),
    ],
)
def test_other_arrangements_fail(
    sabotage: Callable[[dict[str, Settled]], dict[str, Settled]], must_fail: set[str]
) -> None:
    found = verdicts(sabotage(as_published()))
    assert {claim for claim, status in found.items() if status == "fail"} == must_fail
