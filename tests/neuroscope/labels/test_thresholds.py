import numpy as np
import pytest

from mechscope.neuroscope.bins import bin_edges
from mechscope.neuroscope.labels.thresholds import thresholds_of
from mechscope.neuroscope.statistics import SiteStatistics
from mechscope.neuroscope.store_reading import StoredSite


class OneSite:
    """A store of one site with these activations [token unit]."""

    def __init__(self, values: np.ndarray, *, signed: bool) -> None:
        self.values = values.astype(np.float16).astype(float)
        self.signed = signed

    def sites(self) -> tuple[StoredSite, ...]:
        return (StoredSite("here", self.values.shape[1], self.signed, "here", 0, 0),)

    def statistics(self, site: str) -> SiteStatistics:
        zero = np.zeros(self.values.shape[1])
        tokens = np.full(len(zero), len(self.values))
        return SiteStatistics(
            tokens, zero, zero, zero, zero, zero, self.values.max(0), self.values.min(0)
        )  # fmt: skip

    def histograms(self, site: str) -> tuple[np.ndarray, np.ndarray]:
        edges = np.array(bin_edges())[1:-1]
        return edges, np.stack([np.histogram(unit, edges)[0] for unit in self.values.T])


@pytest.mark.parametrize("low", [3.1, 2.5, -4.0, -3.4])
def test_a_unit_with_all_values_in_a_few_bins_still_fires_at_a_tenth_of_the_tokens(low: float) -> None:
    # From 3 to 4 there are two bins only. Their border would be exceeded by half of the tokens, or by none.
    values = np.linspace(low, low + 0.7, 1001)[:, None]
    found = thresholds_of(OneSite(values, signed=True), "here")  # type: ignore[arg-type]
    assert (values > found.values).mean() == pytest.approx(0.1, abs=0.01)
    assert found.rates.tolist() == [0.1]


def test_a_head_that_is_often_at_its_highest_value_fires_there() -> None:
    values = np.array([[1.0], [2.0], [2.0], [2.0]])
    (threshold,) = thresholds_of(OneSite(values, signed=True), "here").values  # type: ignore[arg-type]
    assert 1.0 < threshold < 2.0


def test_a_neuron_fires_above_a_quarter_of_its_maximum() -> None:
    found = thresholds_of(OneSite(np.array([[8.0, -1.0], [2.5, -2.0], [1.0, -3.0]]), signed=False), "here")  # type: ignore[arg-type]
    assert found.values.tolist() == [2.0, 0.0]
    assert found.rates == pytest.approx([2 / 3, 0.0])


def test_a_neuron_behind_a_gate_that_seldom_moves_far_fires_above_a_quarter_of_its_maximum() -> None:
    # A tenth of the activations would be noise around 0.
    values = np.concatenate([np.linspace(-0.3, 0.3, 1000), [8.0, 2.5]])[:, None]
    found = thresholds_of(OneSite(values, signed=True), "here")  # type: ignore[arg-type]
    assert found.values.tolist() == [2.0]
    assert found.rates == pytest.approx([2 / 1002])
