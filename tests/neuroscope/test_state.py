"""A state is read back as it was written, and anything else is refused."""

import dataclasses

import pytest
import torch
from safetensors.torch import save

from mechscope.neuroscope.bins import CODES, N_BINS, bin_edges, bin_of_code
from mechscope.neuroscope.harvest_shard import harvest_shard
from mechscope.neuroscope.settings import HarvestSettings
from mechscope.neuroscope.state import HarvestState
from mechscope.settings import decode
from tests.neuroscope.harvests import SETTINGS, model, random_shards, random_site


@pytest.fixture(scope="module")
def state():
    sites = [random_site(3, signed=True, name="one"), random_site(2, signed=False, name="a.b-ü")]
    return harvest_shard(model(), sites, SETTINGS, random_shards(1, 8)[0])


def test_everything_survives_a_file(state):
    back = HarvestState.from_bytes(state.to_bytes())
    assert back.to_bytes() == state.to_bytes()
    assert back.settings == state.settings
    assert list(back.sites) == ["one", "a.b-ü"]
    assert back.sequences.documents == state.sequences.documents
    assert (back.tokens, back.documents) == (state.tokens, state.documents)
    assert back.sites["a.b-ü"].low is None
    assert torch.equal(back.sites["one"].low.window, state.sites["one"].low.window)


def test_another_file_or_a_missing_tensor_is_refused(state):
    with pytest.raises(ValueError, match="not a state of a harvest"):
        HarvestState.from_bytes(save({"weights": torch.zeros(2)}))
    tensors = state.to_tensors()
    del tensors["1.top.key"]
    with pytest.raises(ValueError, match=r"1\.top\.key"):
        HarvestState.from_tensors(tensors)


def test_settings_survive_json_and_refuse_nonsense():
    settings = dataclasses.replace(SETTINGS, massive_limits=(1.5, None))
    assert decode(HarvestSettings, settings.to_dict(), "settings") == settings
    with pytest.raises(ValueError, match="top must be a whole number of at least 1"):
        HarvestSettings(top=0)


def test_every_number_in_half_precision_is_in_the_bin_of_its_first_byte():
    numbers = torch.arange(2**16, dtype=torch.int32).to(torch.int16).view(torch.float16)
    bins = torch.from_numpy(bin_of_code())[(numbers.view(torch.int16) >> 8).long() + CODES // 2]
    edges = torch.tensor(bin_edges())
    values = numbers.float()
    finite = values.isfinite()
    positive = finite & (values > 0) & (bins > N_BINS // 2)
    negative = finite & (values < 0) & (bins < N_BINS // 2)
    assert (edges[bins[positive]] <= values[positive]).all()
    assert (values[positive] < edges[bins[positive] + 1]).all()
    assert (edges[bins[negative]] < values[negative]).all()
    assert (values[negative] <= edges[bins[negative] + 1]).all()
    middle = finite & ~positive & ~negative
    assert (values[middle].abs() < 2.0**-8).all()
    assert set(bins.tolist()) == set(range(N_BINS))
