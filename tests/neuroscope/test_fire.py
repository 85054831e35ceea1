import numpy as np
import pytest

from mechscope.neuroscope.bins import bin_edges, counts_by_bin
from mechscope.neuroscope.fire import share_beyond
from mechscope.neuroscope.statistics import SiteStatistics


@pytest.mark.parametrize("border", [-1.25, -0.5, 0.5, 1.25])
def test_a_value_on_the_border_of_a_bin_is_counted_in_its_own_bin(border: float) -> None:
    import torch

    # The histogram of one unit, as a harvest makes it, from the first bytes of numbers in half precision.
    values = np.array([-2.0, border, border, 2.0], np.float16)
    codes = torch.zeros(1, 256, dtype=torch.int64)
    for value in values:
        codes[0, int(np.int8(value.view(np.int16) >> 8)) + 128] += 1
    bins = counts_by_bin(codes).numpy()
    zero = np.zeros(1)
    statistics = SiteStatistics(
        np.array([4]), zero, zero, zero, zero, zero, np.array([2.0]), np.array([-2.0])
    )
    edges = np.array(bin_edges())
    assert share_beyond(edges, bins, statistics, np.array([border])).tolist() == [3 / 4]
    assert share_beyond(edges, bins, statistics, np.array([border]), is_low=True).tolist() == [3 / 4]
    assert share_beyond(edges, bins, statistics, np.array([2.5])).tolist() == [0.0]
