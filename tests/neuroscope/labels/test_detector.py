import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from mechscope.neuroscope.labels.detector import aucs, detect, share_interval
from mechscope.neuroscope.labels.null import compare_with_null, similar_units

DOCUMENT = np.repeat(np.arange(10), 20)


def test_the_numbers_of_a_case_that_can_be_counted():
    scores = np.zeros(200)
    fires = np.zeros(200, bool)
    near = np.zeros(200, bool)
    for document in range(10):
        start = 20 * document
        fires[start : start + 4] = True  # four firing tokens in each document, three of which match
        scores[start : start + 3] = 1
        scores[start + 10] = 1  # one false alarm
        near[start + 10 : start + 12] = True  # two near misses, one of which matches
    found = detect(scores, fires, near, DOCUMENT, (0, 1))
    assert (found.precision.value, found.recall.value) == (0.75, 0.75)
    assert found.auc.value == pytest.approx((0.75 + 15 / 16) / 2)
    assert found.near_auc is not None and found.near_auc.value == pytest.approx((0.75 + 0.5) / 2)
    # All documents are the same, so redrawing them changes nothing: 30 of 40 tokens are worth 40 independent ones.
    exact = binomtest(30, 40).proportion_ci(method="exact")
    assert (found.precision.low, found.precision.high) == pytest.approx((exact.low, exact.high))


def test_intervals_are_as_wide_as_documents_differ():
    fires = np.tile([True, False], 100)
    scores = np.where(DOCUMENT < 5, fires, ~fires).astype(
        float
    )  # right in half of the documents, wrong in the others
    none = np.zeros(200, bool)
    found = detect(scores, fires, none, DOCUMENT, (0,))
    assert found.near_auc is None
    assert found.auc.value == pytest.approx(0.5)
    # Of ten documents drawn at random, the share of right ones is a binomial share.
    assert found.auc.low == pytest.approx(0.2, abs=0.11) and found.auc.high == pytest.approx(0.8, abs=0.11)
    wider = detect(scores, fires, none, DOCUMENT, (0, 1, 2)).auc
    assert wider.low <= found.auc.low and wider.high >= found.auc.high


def test_a_rule_that_is_always_right_is_not_certain():
    fires = np.zeros(200, bool)
    fires[:100:20] = fires[1:100:20] = True  # ten tokens of five documents
    found = detect(fires.astype(float), fires, np.zeros(200, bool), DOCUMENT, (0, 1))
    # They prove no more than five independent tokens, because those of a document may depend on each other.
    exact = binomtest(5, 5).proportion_ci(method="exact")
    for share in (found.precision, found.recall):
        assert (share.value, share.high) == (1.0, 1.0)
        assert share.low == pytest.approx(exact.low)
    never = detect(1.0 - fires, fires, np.zeros(200, bool), DOCUMENT, (0,))
    assert (never.recall.value, never.recall.low) == (0.0, 0.0)
    assert never.recall.high == pytest.approx(1 - exact.low)


def test_intervals_of_shares_contain_the_truth_as_often_as_they_say():
    draw = np.random.default_rng(0)
    contained, percentiles = 0, 0
    for _ in range(200):
        # Six documents of one to eight tokens, which differ in how often the rule is right: 0.9 on average.
        sizes, right = draw.integers(1, 9, 6), draw.beta(0.9 * 4, 0.1 * 4, 6)
        yes = draw.binomial(sizes, right)
        again = draw.integers(0, 6, (400, 6))
        shares = yes[again].sum(1) / sizes[again].sum(1)
        low, high = share_interval(yes.sum() / sizes.sum(), sizes.sum(), 6, shares.var())
        contained += low <= 0.9 <= high
        percentiles += np.quantile(shares, 0.025) <= 0.9 <= np.quantile(shares, 0.975)
    assert contained >= 0.93 * 200
    assert percentiles < 0.85 * 200, "the percentiles of the bootstrap alone would do"


def test_many_different_scores():
    draw = np.random.default_rng(0)
    fires = draw.random(200) < 0.3
    scores = fires + draw.normal(size=200)
    found = detect(scores, fires, ~fires, DOCUMENT, (0,))
    assert found.auc.value == pytest.approx(roc_auc_score(fires, scores))
    assert found.near_auc is not None and found.near_auc.value == pytest.approx(found.auc.value, abs=0.005)
    assert found.precision.value == pytest.approx(fires[scores > 0].mean())
    assert found.auc.low < found.auc.value < found.auc.high


def test_aucs_of_many_units_and_of_units_without_both_kinds():
    draw = np.random.default_rng(0)
    fires = draw.random((50, 4)) < 0.5
    fires[:, 2], fires[:, 3] = True, False
    scores = draw.integers(0, 3, 50).astype(float)
    found = aucs(scores, fires)
    assert found[:2] == pytest.approx([roc_auc_score(each, scores) for each in fires.T[:2]])
    assert np.isnan(found[2:]).all()
    with pytest.raises(ValueError, match="fires at 50 of 50 tokens"):
        detect(scores, fires[:, 2], fires[:, 2], np.zeros(50, int), (0,))


def test_the_p_value_counts_other_units():
    scores = np.repeat([1.0, 0.0], 50)
    fires = scores > 0
    others = np.zeros((100, 39), bool)
    others[25:75] = True
    alone = compare_with_null(1.0, scores, fires, others, (0, 1))
    assert (alone.kind, alone.p, alone.draws, alone.median_auc) == ("other units", 1 / 40, 39, 0.5)
    assert alone.resolution == 1 / 40 and alone.p_by_seed == (1 / 40, 1 / 40)
    others[:, :3] = fires[:, None]
    assert compare_with_null(1.0, scores, fires, others, (0,)).p == 4 / 40


def test_with_few_other_units_the_unit_is_compared_with_moved_copies():
    draw = np.random.default_rng(1)
    fires = draw.random(500) < 0.1
    right = compare_with_null(
        1.0, fires.astype(float), fires, fires[:, :0] if fires.ndim > 1 else np.zeros((500, 0), bool), (0,)
    )
    assert (right.kind, right.draws, right.p) == ("moved copies", 99, 0.01)
    assert right.median_auc == pytest.approx(0.5, abs=0.03)
    wrong = np.roll(fires, 250).astype(float)
    own = float(aucs(wrong, fires[:, None])[0])
    assert compare_with_null(own, wrong, fires, np.zeros((500, 2), bool), (0,)).p > 0.05


def test_similar_units_are_those_that_fire_about_as_often():
    rates = np.array([0.1, 0.05, 0.2, 0.21, 0.0, *[0.1] * 30])
    assert similar_units(rates, 0) == [1, 2, *range(5, 35)]
    # If too few are within a factor of two, the closest ones within a factor of ten are taken.
    assert similar_units(np.array([0.1, 0.011, 0.9, 0.009, 0.0]), 0) == [1, 2]
    assert similar_units(np.array([0.1, 0.0]), 1) == []
