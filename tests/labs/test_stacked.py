"""The numbers behind a figure with several series."""

from __future__ import annotations

import pytest
import torch

from mechscope.labs.stacked import stacked_result
from mechscope.results import Provenance

MADE_BY = Provenance("a model", "prompts", 0)


def test_series_become_the_first_axis() -> None:
    found = stacked_result(
        {"one": torch.tensor([1.0, 2.0]), "two": [3.0, 4.0]},
        ("series", "step"),
        "A title",
        "nats",
        MADE_BY,
        {"step": [10, 20]},
    )
    assert found.values.dims == ("series", "step")
    assert float(found.values.sel(series="two", step=10)) == 3.0


def test_series_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="same shape"):
        stacked_result({"one": [1, 2], "two": [3]}, ("series", "step"), "A title", "nats", MADE_BY)
