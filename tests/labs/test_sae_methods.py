"""Step 05's small instruments against cases worked out by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from mechscope.dictionaries import build
from mechscope.dictionaries.config import TopKConfig
from mechscope.dictionaries.frontier.comparing import at_l0
from mechscope.labs import check_claims
from mechscope.labs.sae.claims import CLAIMS
from mechscope.labs.sae.exchange_check import compare_with_saelens, why_no_peer
from mechscope.labs.sae.ground_truth import shuffle_dimensions
from mechscope.labs.sae.language_model import inside_comment
from mechscope.labs.sae.splitting import Splitting, permuted_rows, split
from mechscope.labs.sae.steering import Steering
from mechscope.labs.sae.text_study import compare_frontiers, valley
from mechscope.labs.sae.training import settings


def point(l0: float, fvu: float) -> Any:
    return cast("Any", SimpleNamespace(l0=l0, fvu=fvu))


def test_a_comment_ends_with_its_line() -> None:
    pieces = ["x = 1", "  #", " not", "e\ny", " = 2", "\n# a\n", "z"]
    assert inside_comment(pieces).tolist() == [False, False, True, True, False, False, False]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_shuffling_keeps_each_dimension_and_nothing_between_them(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    shared = torch.randn(4000, 1, generator=generator)
    x = shared + 0.1 * torch.randn(4000, 3, generator=generator)
    shuffled = shuffle_dimensions(x, generator)
    assert torch.equal(shuffled.sort(0).values, x.sort(0).values)
    assert float(torch.corrcoef(x.T)[0, 1]) > 0.9
    assert float(torch.corrcoef(shuffled.T).fill_diagonal_(0).abs().max()) < 0.1


def test_frontiers_are_compared_at_equal_l0() -> None:
    topk = {8: point(8, 0.4), 32: point(32, 0.1)}
    # Halfway between 8 and 32 in the logarithm is 16, and halfway between 0.4 and 0.1 is 0.2.
    found = compare_frontiers(
        topk, {1.0: point(16, 0.25), 2.0: point(8, 0.8), 3.0: point(100, 0.01), 4.0: point(4, 0.9)}
    )
    assert [list(each) for each in found.points] == [
        pytest.approx([16, 0.25, 0.2]),
        pytest.approx([8, 0.8, 0.4]),
    ]
    assert found.worst == pytest.approx(0.8)


def test_a_lossless_end_of_the_frontier_is_no_error() -> None:
    # No logarithm of zero: between 0.4 and 0 the line itself is straight, as in the sweep's tables.
    found = compare_frontiers({8: point(8, 0.4), 32: point(32, 0.0)}, {1.0: point(16, 0.25)})
    assert found.points[0][2] == pytest.approx(0.2) == at_l0([point(8, 0.4), point(32, 0.0)], 16)


def test_frontiers_that_never_meet_prove_nothing() -> None:
    found = compare_frontiers({8: point(8, 0.4), 16: point(16, 0.2)}, {1.0: point(100, 0.1)})
    assert found.points == ()
    assert math.isnan(found.worst)


def test_a_valley_lies_between_two_humps() -> None:
    generator = torch.Generator().manual_seed(0)
    low = -4 + 0.15 * torch.randn(100, generator=generator)
    high = -1 + 0.15 * torch.randn(300, generator=generator)
    depth, below = valley(10 ** torch.cat([low, high]))
    assert depth < 0.1
    assert below == pytest.approx(0.25, abs=0.01)
    depth, _ = valley(10 ** (-2 + torch.linspace(-1, 1, 400)))
    assert depth > 0.9


def test_a_histogram_of_nothing_has_no_valley() -> None:
    assert valley(torch.zeros(5)) == (1.0, 0.0)
    assert valley(torch.full((5,), 0.01)) == (1.0, 0.0)


def planted_split(copies: int, spread: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Twelve directions, and `copies` variants of each that lie about so far from it."""
    generator = torch.Generator().manual_seed(seed)
    small = torch.randn(12, 96, generator=generator)
    large = small.repeat_interleave(copies, 0)
    return small, large + spread * torch.randn(large.shape, generator=generator)


@pytest.mark.parametrize("seed", [0, 1])
def test_planted_children_are_found(seed: int) -> None:
    small, large = planted_split(3, 0.7, seed)
    found = split(small, large, seed)
    assert found.children.tolist() == [3] * 12
    assert found.split == 1
    assert found.random_split < 0.1
    assert found.siblings == pytest.approx(1 / (1 + 0.7**2), abs=0.05)


def splitting_verdict(found: Splitting) -> str:
    (claim,) = [each for each in CLAIMS if each.id == "5.11"]
    measured = {
        "features_split": 100 * found.split,
        "features_split_random": 100 * found.random_split,
        "siblings": found.siblings,
    }
    return check_claims([claim], {0: measured})[0].status


def test_what_does_not_split_fails() -> None:
    small, large = planted_split(3, 0.7)
    assert splitting_verdict(split(small, large, 0)) == "pass"
    # The same features over again, one for one: nothing has split.
    assert splitting_verdict(split(*planted_split(1, 0.7), 0)) == "fail"
    # Copies: nothing is said more exactly.
    assert splitting_verdict(split(*planted_split(3, 0.01), 0)) == "fail"
    # Rows that have nothing to do with the small dictionary's.
    assert splitting_verdict(split(small, permuted_rows(large, 5), 0)) == "fail"


def test_rows_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match="not 4 and 5"):
        split(torch.rand(2, 4), torch.rand(3, 5), 0)


def test_random_rows_keep_each_neurons_weights() -> None:
    rows = torch.rand(9, 4)
    mixed = permuted_rows(rows, 1)
    assert mixed.sort(0).values.equal(rows.sort(0).values)
    assert not mixed.equal(rows)


def test_steering_is_scored_by_sign_order_and_specificity() -> None:
    own = torch.tensor([[-2.0, -1.0, 1.0, 2.0], [-1.0, -2.0, 1.0, 4.0], [-1.0, 0.5, 1.0, 3.0]])
    others = torch.tensor([[0.0, 0.0, 0.0, 1.0]] * 3)
    found = Steering((0, 1, 2), (-2.0, -1.0, 1.0, 2.0), own, others)
    assert found.signs == pytest.approx(2 / 3)
    assert found.monotone == pytest.approx(2 / 3)
    assert found.specific == pytest.approx(3.0)


@pytest.mark.parametrize("steps", [1, 8, 1000])
def test_the_schedule_fits_any_length(steps: int) -> None:
    cfg = settings(steps, 1e-3, 0)
    assert max(cfg.lr_at(step) for step in range(steps)) <= 1e-3


@pytest.mark.skipif(why_no_peer() is not None, reason="SAELens is not installed")
@pytest.mark.filterwarnings("ignore")
def test_a_dictionary_survives_the_journey() -> None:
    dictionary = build(TopKConfig(d_in=8, d_sae=24, k=3), 0).eval()
    x = torch.randn(50, 8, generator=torch.Generator().manual_seed(1))
    dictionary.set_scale(1.7)
    found = compare_with_saelens(dictionary, x)
    assert found["peer"] < 1e-5
    assert found["read_back"] < 1e-5
