"""Where axes have their numbers: round ones, whole ones, and not too many."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mechscope.viz import curves
from mechscope.viz.ticks import MOST, log_axis, ticks


@pytest.mark.parametrize(
    ("low", "high", "log", "marks"),
    [
        (0.03, 0.4, True, [0.05, 0.1, 0.2]),
        (1, 10, True, [1, 2, 5, 10]),
        (8, 120, True, [10, 20, 50, 100]),
        (0.61, 0.98, False, [0.7, 0.8, 0.9]),
        (0, 7, False, [0, 1, 2, 3, 4, 5, 6, 7]),
        (-3, 11, False, [-2, 0, 2, 4, 6, 8, 10]),
    ],
)
def test_round_numbers_between_two_ends(low: float, high: float, log: bool, marks: list[float]) -> None:
    assert ticks(low, high, log=log) == marks


def test_every_number_of_a_logarithmic_axis_is_written_out() -> None:
    axis = log_axis([0.07, 0.9])
    assert axis == {"type": "log", "tickvals": [0.1, 0.2, 0.5, 1.0], "ticktext": ["0.1", "0.2", "0.5", "1"]}


def test_values_close_together_get_even_steps() -> None:
    # 1, 2, 5 would leave 0.1 and 0.2 alone, or nothing at all.
    assert log_axis([0.07, 0.24])["ticktext"] == ["0.1", "0.15", "0.2", "0.25"]
    assert log_axis([2.7, 3.9])["ticktext"] == ["2.5", "3", "3.5", "4", "4.5"]


def test_values_over_many_powers_get_the_powers_alone() -> None:
    assert log_axis([1e-6, 1.0]) == {"type": "log", "exponentformat": "power", "dtick": 1}


@pytest.mark.parametrize("seed", range(5))
def test_an_axis_always_has_numbers_and_never_too_many(seed: int) -> None:
    generator = np.random.default_rng(seed)
    for _ in range(50):
        low = 10 ** generator.uniform(-6, 6)
        values = [low, low * 10 ** generator.uniform(0, 3.4)]
        axis = log_axis(values)
        if "tickvals" not in axis:
            assert values[1] / values[0] > 10 ** (MOST / 3 - 1)
            continue
        assert 3 <= len(axis["tickvals"]) <= MOST
        assert [float(text) for text in axis["ticktext"]] == pytest.approx(axis["tickvals"])
        # Plotly leaves a twentieth of the axis free on either side; what lies further out is not seen.
        assert all(values[0] / 1.3 < mark < values[1] * 1.3 for mark in axis["tickvals"])


def test_what_has_no_logarithm_is_left_out() -> None:
    assert log_axis([0.0, -1.0, math.nan, math.inf, 1.0, 10.0]) == log_axis([1.0, 10.0])
    assert log_axis([0.0]) == {"type": "log"}


def test_curves_write_their_numbers_out_on_both_axes() -> None:
    figure = curves(
        [1, 3, 40], {"a": [0.2, 0.3, 0.0], "b": [2, 3, 4]}, title="t", x_title="x", y_title="y",
        log_x=True, log_y=True,
    )  # fmt: skip
    assert list(figure.layout.xaxis.ticktext) == ["1", "2", "5", "10", "20"]
    assert list(figure.layout.yaxis.ticktext) == ["0.2", "0.5", "1", "2"]
    assert figure.layout.xaxis.title.text == "x"
