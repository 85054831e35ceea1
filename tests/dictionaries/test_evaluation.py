"""Each metric of a dictionary on cases that can be worked out by hand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mechscope.dictionaries import ReluConfig, SparseFeatures, TopKConfig, build, transcoder
from mechscope.dictionaries.evaluation import (
    ActivityCounts,
    Correlations,
    MeanCosine,
    Shrinkage,
    VarianceUnexplained,
    absorption,
    activity,
    encoded,
    evaluate,
    feature_recovery,
    fraction_of_variance_unexplained,
    hierarchy_probe,
    sparse_probing,
    splitting,
    universality,
)
from mechscope.dictionaries.evaluation._batches import batches
from mechscope.results import Provenance


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# Variance -----------------------------------------------------------------------------------------------------


def test_predicting_the_mean_leaves_all_variance() -> None:
    x = numbers(200, 5).double() * torch.tensor([1.0, 10, 0.1, 3, 1]) + 7
    assert fraction_of_variance_unexplained(x, x.mean(0).expand_as(x)) == pytest.approx(1, abs=1e-6)
    assert fraction_of_variance_unexplained(x, x) == 0


def test_variance_is_summed_over_dimensions_before_the_ratio() -> None:
    # Dimension 0 varies 100 times as much and is perfect; dimension 1 is predicted by its mean.
    x = torch.tensor([[10.0, 1.0], [-10.0, -1.0]])
    wrong = x * torch.tensor([1.0, 0.0])
    assert fraction_of_variance_unexplained(x, wrong) == pytest.approx(2 / 202)
    # A mean of ratios would have said 1/2.


def test_worse_than_the_mean_is_above_one() -> None:
    x = torch.tensor([[1.0], [-1.0]])
    assert fraction_of_variance_unexplained(x, -x) == 4


def test_no_variance_is_not_a_number() -> None:
    assert math.isnan(fraction_of_variance_unexplained(torch.ones(3, 2), torch.zeros(3, 2)))


@given(st.integers(0, 10**6), st.lists(st.integers(1, 40), min_size=1, max_size=6), st.floats(-1000, 1000))
@settings(max_examples=30)
def test_variance_in_batches_is_that_of_all_at_once(seed: int, sizes: list[int], far: float) -> None:
    total = sum(sizes) + 1
    x = numbers(total, 4, seed=seed).double() + far
    y = x + numbers(total, 4, seed=seed + 1)
    sums = VarianceUnexplained()
    for part, other in zip(x.split([*sizes, 1]), y.split([*sizes, 1]), strict=True):
        sums.add(part, other)
    by_hand = (x - y).square().sum() / (x - x.mean(0)).square().sum()
    assert sums.value == pytest.approx(float(by_hand), rel=1e-6)


# Cosine and shrinkage -----------------------------------------------------------------------------------------


def test_cosine_is_the_mean_over_examples() -> None:
    sums = MeanCosine()
    x = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0], [1.0, 0.0]])
    sums.add(x[:1], torch.tensor([[5.0, 0.0]]))  # 1
    sums.add(x[1:], torch.tensor([[0.0, 1.0], [0.0, -1.0], [1.0, 1.0]]))  # 0, -1, 1/√2
    assert sums.value == pytest.approx((1 + 0 - 1 + 2**-0.5) / 4)


def test_a_shrunken_reconstruction_has_the_factor_as_its_bias() -> None:
    x = numbers(50, 6, seed=2)
    for factor in (0.5, 1.0, 1.7):
        sums = Shrinkage()
        sums.add(x[:20], x[:20] * factor)
        sums.add(x[20:], x[20:] * factor)
        assert sums.bias == pytest.approx(factor)
        assert sums.length_ratio == pytest.approx(factor)


def test_errors_across_the_activation_are_not_shrinkage() -> None:
    # x̂ = x/2 + something orthogonal of the same length as x/2: ‖x̂‖² = ‖x‖²/2, x̂·x = ‖x‖²/2.
    sums = Shrinkage()
    sums.add(torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 1.0]]))
    assert sums.bias == pytest.approx(1)
    assert sums.length_ratio == pytest.approx(2**0.5 / 2)


def test_nothing_in_common_has_no_bias() -> None:
    sums = Shrinkage()
    sums.add(torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    assert math.isnan(sums.bias)
    assert sums.length_ratio == 1  # the zero vector is left out


# Density ------------------------------------------------------------------------------------------------------


def test_activity_by_hand() -> None:
    features = torch.tensor([[1.0, 0, 0, 2], [0, 0, 0, 1], [3, 0, 0, 1], [0, 0, 5, 1]])
    found = activity(features)
    assert found.l0 == pytest.approx(7 / 4)
    assert found.densities.tolist() == [0.5, 0.0, 0.25, 1.0]
    assert found.dead_share == 0.25
    histogram = found.histogram(Provenance("toy", "by hand"), bins=3)
    # From log10(1/4) to 0 in three bins: 0.25 in the first, 0.5 in the second, 1 in the last.
    assert histogram.values.values.tolist() == [1, 1, 1]
    assert float(histogram.values.coords["bin"][0]) == pytest.approx(math.log10(0.25) * 5 / 6)
    assert "1 of 4 never active" in histogram.title


def test_sparse_features_count_alike() -> None:
    sparse = SparseFeatures(torch.tensor([[1.0, 0.0], [2.0, 3.0]]), torch.tensor([[0, 1], [2, 0]]), 4)
    counts = ActivityCounts()
    counts.add(sparse)
    counts.add(sparse.dense())
    # An index whose value is zero is not active.
    assert counts.activity().times.tolist() == [4, 0, 2, 0]
    assert counts.activity().l0 == 1.5


def test_nothing_counted_says_so() -> None:
    with pytest.raises(ValueError, match="no features were counted"):
        ActivityCounts().activity()


# Recovery -----------------------------------------------------------------------------------------------------


def test_one_feature_cannot_stand_for_two_in_the_matching() -> None:
    truth = torch.tensor([[1.0, 0.0], [0.8, 0.6]])
    learned = torch.tensor([[3.0, 0.0], [0.0, -2.0]])
    found = feature_recovery(learned, truth)
    assert found.found.tolist() == pytest.approx([1.0, 0.8])
    assert found.mmcs == pytest.approx(0.9)
    assert found.meant.tolist() == pytest.approx([1.0, 0.0])
    assert found.mmcs_back == pytest.approx(0.5)
    # One to one: 1 + (-0.6) = 0.4 or 0.8 + 0 = 0.8; the second is larger.
    assert found.pairs == ((0, 1), (1, 0))
    assert found.mean_matched == pytest.approx(0.4)
    assert found.share_found(0.75) == 0.5


def test_a_negative_direction_is_not_the_feature() -> None:
    assert feature_recovery(-torch.eye(3), torch.eye(3)).mmcs == 0


def test_a_missing_partner_counts_nothing() -> None:
    found = feature_recovery(torch.eye(4)[:2], torch.eye(4))
    assert len(found.pairs) == 2
    assert found.mean_matched == pytest.approx(0.5)
    assert found.mmcs_back == pytest.approx(1)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_permuted_rescaled_truth_is_found_exactly(seed: int) -> None:
    truth = numbers(12, 30, seed=seed)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(seed))
    learned = truth[order] * (numbers(12, 1, seed=seed + 5).abs() + 0.1)
    found = feature_recovery(torch.cat([learned, torch.zeros(2, 30)]), truth)
    assert found.mmcs == pytest.approx(1)
    assert all(int(order[learned_row]) == true for true, learned_row in found.pairs)
    assert found.meant[-2:].tolist() == pytest.approx([0, 0])


def test_recovery_of_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="width 3 and true ones 2"):
        feature_recovery(torch.eye(3), torch.eye(2))
    with pytest.raises(ValueError, match="not finite"):
        feature_recovery(torch.full((1, 2), torch.nan), torch.eye(2))


# Universality -------------------------------------------------------------------------------------------------


def test_max_correlations_by_hand() -> None:
    first = torch.tensor([[0.0, 1, 5], [1, 0, 5], [2, 1, 5], [3, 0, 5]])
    second = torch.tensor([[0.0, 7], [2, 7], [4, 7], [6, 9]])
    found = universality((first, second))
    assert found.max_correlation[0] == pytest.approx(1)  # twice as large, wholly correlated
    assert found.partner.tolist() == [0, 0, -1]
    # (0,1,2,3) with (1,0,1,0): covariance -0.25 over deviations √1.25 · 0.5.
    assert found.max_correlation[1] == pytest.approx(-0.25 / (1.25**0.5 * 0.5))
    assert found.constant == 1
    assert found.median == pytest.approx(float(found.max_correlation[1]))  # the lower of two


@pytest.mark.parametrize("seed", [0, 3])
def test_correlations_in_batches_are_those_of_numpy(seed: int) -> None:
    import numpy as np

    first, second = numbers(90, 4, seed=seed) + 1000, numbers(90, 3, seed=seed + 1) * 3
    second[:, 0] += first[:, 1]
    sums = Correlations()
    for rows in (slice(0, 13), slice(13, 14), slice(14, 90)):
        sums.add(first[rows], second[rows])
    expected = np.corrcoef(first.double().numpy().T, second.double().numpy().T)[:4, 4:]
    assert torch.allclose(sums.matrix, torch.from_numpy(expected), atol=1e-8)


def test_the_same_dictionary_is_universal_to_itself_and_noise_is_not() -> None:
    first, other = (build(ReluConfig(d_in=8, d_sae=16), seed).eval() for seed in (0, 1))
    stream = [numbers(300, 8, seed=seed) for seed in range(3)]
    assert universality(encoded(first.encode, first.encode, stream)).median == pytest.approx(1)
    assert universality(encoded(first.encode, other.encode, stream)).median < 0.95


def test_universality_needs_the_same_examples() -> None:
    with pytest.raises(ValueError, match="same examples"):
        universality((torch.ones(3, 2), torch.ones(4, 2)))
    with pytest.raises(ValueError, match="at least two examples"):
        universality((torch.ones(1, 2), torch.ones(1, 2)))


# Sparse probing, splitting, absorption ------------------------------------------------------------------------


def planted(seed: int, count: int = 400) -> tuple[Tensor, Tensor, Tensor]:
    """Features of which number 3 says the label, activations that mix them, and the label."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.rand(count, 8, generator=generator)
    labels = torch.rand(count, generator=generator) < 0.4
    features[:, 3] = labels * (1 + torch.rand(count, generator=generator))
    return features, features @ torch.randn(8, 12, generator=generator), labels


@pytest.mark.parametrize("seed", [0, 4])
def test_one_feature_says_it_all(seed: int) -> None:
    features, activations, labels = planted(seed)
    found = sparse_probing(features, activations, labels, ks=(2, 1))
    assert found.ks == (1, 2)
    assert found.scores[0] == 1
    assert found.chosen[0] == 3
    assert found.dense > 0.97
    assert 0.5 < found.chance < 0.7
    assert found.figure().data


def test_without_the_feature_the_sparse_probe_is_at_chance_and_the_dense_one_is_not() -> None:
    features, activations, labels = planted(1)
    blind = features.clone()
    blind[:, 3] = torch.rand(len(blind), generator=torch.Generator().manual_seed(9))
    found = sparse_probing(blind, activations, labels, ks=(1, 4), metric="auroc")
    assert max(found.scores) < 0.65
    assert found.dense > 0.97
    assert found.chance == 0.5


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"labels": torch.arange(400) % 3}, "two classes, not 3"),
        ({"ks": (9,)}, "from 1 to 8"),
        ({"features": torch.full((400, 8), torch.nan)}, "not finite"),
        ({"labels": torch.zeros(3)}, "labels"),
        ({"seeds": ()}, "at least one seed"),
    ],
)
def test_sparse_probing_of_what_does_not_fit(change: dict[str, Any], says: str) -> None:
    features, activations, labels = planted(0)
    given: dict[str, Any] = {
        "features": features,
        "activations": activations,
        "labels": labels,
        "ks": (1,),
        **change,
    }
    with pytest.raises(ValueError, match=says):
        sparse_probing(**given)


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_splitting_counts_the_parts(parts: int) -> None:
    generator = torch.Generator().manual_seed(parts)
    labels = torch.rand(1200, generator=generator) < 0.5
    features = torch.rand(1200, 7, generator=generator) * 0.1
    which = torch.randint(parts, (1200,), generator=generator)
    for part in range(parts):
        features[:, part] += labels * (which == part) * 2.0
    found = splitting(features, labels, most=5)
    assert found.features == parts
    assert sorted(found.main) == list(range(parts))
    assert found.f1[parts - 1] > 0.95


def test_absorption_by_hand() -> None:
    decoder = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [0.001, 1.0]])
    direction = torch.tensor([2.0, 0.0])
    features = torch.tensor(
        [
            [1.0, 0, 0, 0],  # caught
            [0.0, 2, 1, 0],  # silent; feature 1 carries the direction: absorbed
            [0.0, 0, 1, 0],  # silent, and nobody carries it: missed
            [0.0, 0, 0, 9],  # carried, but by a feature that does not point there: missed
            [0.0, 5, 0, 0],  # not an example of it
        ]
    )
    labels = torch.tensor([True, True, True, True, False])
    found = absorption(features, decoder, labels, direction, [0])
    assert (found.positives, found.missed, found.absorbed) == (4, 3, 1)
    assert found.absorbers == {1: 1}
    assert found.rate == 0.25
    assert found.recall == 0.25
    # Half of the carrying is needed: with two carriers of equal strength nobody has it.
    shared = torch.tensor([[0.0, 1.0, 0.0, 600.0]])
    assert absorption(shared, decoder, labels[:1], direction, [0], least_share=0.6).absorbed == 0
    with pytest.raises(ValueError, match="no example has the concept"):
        absorption(features, decoder, torch.zeros(5, dtype=torch.bool), direction, [0])
    with pytest.raises(ValueError, match="main must list"):
        absorption(features, decoder, labels, direction, [7])


def test_a_child_that_silences_its_parent() -> None:
    parent = torch.tensor([True, True, True, True, False])
    child = torch.tensor([True, True, False, False, False])
    silenced = torch.tensor([0.0, 0.0, 1.0, 1.0, 0.0])
    found = hierarchy_probe(silenced, parent, child)
    assert (found.recall_alone, found.recall_with_child, found.gap) == (1, 0, 1)
    honest = torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0])
    assert hierarchy_probe(honest, parent, child).gap == 0
    with pytest.raises(ValueError, match="without the parent"):
        hierarchy_probe(honest, ~parent, child)


# Everything at once -------------------------------------------------------------------------------------------


@dataclass
class Halving:
    """Two features, x and -x where positive; everything comes out half as long."""

    cfg: Any = None

    def encode(self, x: Tensor) -> Tensor:
        return torch.cat([x, -x], dim=-1).relu()

    def decode(self, features: Tensor, x: Tensor) -> Tensor:
        return (features[..., :1] - features[..., 1:]) / 2


def test_the_table_by_hand() -> None:
    x = torch.tensor([[2.0], [-2.0], [4.0], [-4.0]])
    found = evaluate(Halving(), x)
    assert (found.l0, found.cosine, found.bias, found.length_ratio) == (1, 1, 0.5, 0.5)
    assert found.fvu == pytest.approx(0.25)
    assert found.activity.dead_share == 0
    assert found.splice is None
    table = found.table.values
    assert float(table.sel(measure="fraction of variance unexplained")) == pytest.approx(0.25)
    assert "ΔCE spliced in (nats)" not in table.coords["measure"].values
    assert "L0" in str(found)


@pytest.mark.parametrize("cfg", [ReluConfig(d_in=6, d_sae=20), TopKConfig(d_in=6, d_sae=20, k=3)])
def test_a_stream_is_all_at_once(cfg: Any) -> None:
    dictionary = build(cfg, 3).eval().double()
    x = numbers(211, 6, seed=4).double() + 1
    whole = evaluate(dictionary, x, batch_size=10**6, truth=torch.eye(6).double())
    parts = evaluate(dictionary, (x[at : at + 50] for at in range(0, 211, 50)), batch_size=7)
    assert torch.equal(whole.activity.times, parts.activity.times)
    for name in ("examples", "l0", "fvu", "cosine", "bias", "length_ratio"):
        assert getattr(parts, name) == pytest.approx(getattr(whole, name), rel=1e-6), name
    # And as the formulas say, on all examples together.
    features = dictionary.encode(x).detach()
    written = dictionary.decode(features, x).detach()
    assert whole.l0 == pytest.approx(float((features > 0).float().sum(-1).mean()))
    assert whole.fvu == pytest.approx(
        float((x - written).square().sum() / (x - x.mean(0)).square().sum()), rel=1e-5
    )
    assert whole.recovery is not None
    assert whole.table.values.sel(measure="MMCS, true to learned") == pytest.approx(whole.recovery.mmcs)


def test_a_stream_is_read_batch_by_batch() -> None:
    seen: list[int] = []

    class Counting(Halving):
        def encode(self, x: Tensor) -> Tensor:
            seen.append(len(x))
            return super().encode(x)

    evaluate(Counting(), torch.ones(100, 1) * torch.arange(100)[:, None], batch_size=30)
    assert seen == [30, 30, 30, 10]


def test_a_transcoder_is_held_against_its_target() -> None:
    cfg = transcoder(ReluConfig(d_in=5, d_sae=9), 3)
    dictionary = build(cfg, 1).eval()
    x, y = numbers(40, 5, seed=1), numbers(40, 3, seed=2)
    found = evaluate(dictionary, (x, y), batch_size=11)
    assert found.fvu == pytest.approx(
        float((y - dictionary(x)).detach().square().sum() / (y - y.mean(0)).square().sum()), rel=1e-5
    )
    with pytest.raises(ValueError, match="data are pairs"):
        evaluate(dictionary, x)
    with pytest.raises(ValueError, match="one target per activation"):
        evaluate(dictionary, (x, y[:3]))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (torch.ones(3, 7), "width 7, but this dictionary reads 6"),
        (torch.ones(0, 6), "no activations"),
        ([], "no activations"),
        (torch.tensor([[1.0] * 6, [math.nan] * 6]), "the first is example 1"),
        (torch.ones(6), r"\[batch d_in\]"),
        (torch.ones(4, 6, dtype=torch.long), "give the model"),
    ],
)
def test_activations_that_do_not_fit(data: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        evaluate(build(ReluConfig(d_in=6, d_sae=8)), data)


def test_settings_that_contradict_each_other() -> None:
    dictionary = build(ReluConfig(d_in=6, d_sae=8))
    with pytest.raises(ValueError, match="hook_name: these arguments need a model"):
        evaluate(dictionary, torch.ones(3, 6), hook_name="blocks.0.hook_resid_pre")
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        list(batches(torch.ones(3, 6), 0))
    with pytest.raises(ValueError, match="has directions"):
        evaluate(Halving(), torch.ones(3, 1), truth=torch.ones(1, 1))
