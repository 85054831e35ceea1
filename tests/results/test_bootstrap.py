"""Bootstrap intervals, held against resampling written out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mechscope.results.bootstrap import bootstrap_distribution, percentile_interval


def test_equals_resampling_by_hand_with_the_same_draws() -> None:
    values = np.random.default_rng(1).normal(size=(3, 12))
    found = bootstrap_distribution(
        [values], lambda rows: rows.mean(-1), resamples=200, rng=np.random.default_rng(0)
    )
    rows = np.random.default_rng(0).integers(12, size=(200, 12))
    assert found.shape == (3, 200)
    assert np.array_equal(found, values[:, rows].mean(-1))


def test_values_of_one_example_stay_together() -> None:
    one = np.random.default_rng(2).normal(size=20)
    found = bootstrap_distribution(
        [one, one + 5.0],
        lambda first, second: (second - first).mean(-1),
        resamples=50,
        rng=np.random.default_rng(0),
    )
    assert np.allclose(found, 5.0)


def test_an_interval_covers_the_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(200):
        draws = bootstrap_distribution(
            [rng.normal(size=30)], lambda rows: rows.mean(-1), resamples=300, rng=rng
        )
        low, high = percentile_interval(draws, level=0.9)
        hits += int(low <= 0.0 <= high)
    assert 0.8 < hits / 200 < 0.96


def test_resamples_without_a_value_are_left_to_the_caller() -> None:
    values = np.array([0.0, 0.0, 1.0])
    with np.errstate(divide="ignore", invalid="ignore"):
        found = bootstrap_distribution(
            [values], lambda rows: rows.sum(-1) / rows.sum(-1), resamples=100, rng=np.random.default_rng(0)
        )
    assert 0 < np.isnan(found).sum() < 100


def test_one_example_has_an_interval_of_no_width() -> None:
    found = bootstrap_distribution(
        [np.array([2.5])], lambda rows: rows.mean(-1), resamples=10, rng=np.random.default_rng(0)
    )
    assert percentile_interval(found).tolist() == [2.5, 2.5]


@pytest.mark.parametrize("samples", [[np.empty(0)], [np.ones(3), np.ones(4)]])
def test_samples_that_do_not_fit(samples: list[np.ndarray]) -> None:
    with pytest.raises(ValueError, match="same number of examples, at least 1"):
        bootstrap_distribution(
            samples, lambda *rows: rows[0].mean(-1), resamples=5, rng=np.random.default_rng(0)
        )
