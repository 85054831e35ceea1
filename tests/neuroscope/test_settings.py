"""The settings of a harvest, as stores of other versions have them."""

import pytest

from mechscope.neuroscope.settings import HarvestSettings, settings_of_store


def test_settings_of_another_version_are_read_as_far_as_they_are_known():
    assert settings_of_store({"context": 64, "batch_size": 16}) == HarvestSettings(context=64)
    assert settings_of_store(HarvestSettings(seed=3).to_dict()) == HarvestSettings(seed=3)
    with pytest.raises(
        ValueError, match="the settings of the store: context must be a whole number of at least 1"
    ):
        settings_of_store({"context": 0})
