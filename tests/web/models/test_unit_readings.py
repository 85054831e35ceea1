"""Live units that only the server can read: directions from a file, of a store that was made in another folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import mechscope as ms
from mechscope.neuroscope.endpoints import OpenStores
from mechscope.neuroscope.fire import fire
from mechscope.neuroscope.folders import VARIABLE
from mechscope.neuroscope.messages import SiteRequest
from mechscope.neuroscope.publish import publish
from mechscope.neuroscope.store import NeuroscopeStore
from mechscope.pages.endpoints import RefusedError
from mechscope.web.models.readings import Readings
from mechscope.web.models.shelf import ModelShelf
from mechscope.web.models.unit_messages import EffectRequest, LiveTextRequest
from mechscope.web.models.unit_readings import UnitReadings
from tests.neuroscope.small_harvest import MODEL, small_harvest, write_texts

TEXT = "def read(self)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The user's folder of stores, with a store of three directions."""
    place = tmp_path_factory.mktemp("stores")
    directions = 3 * torch.randn(3, 64, generator=torch.Generator().manual_seed(0))
    save_file({"directions": directions}, place / "ways.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(place))
        patch.chdir(place)
        texts = write_texts(place / "texts", files=3)
        work = small_harvest(place / "work", texts, sites=("ways.safetensors@resid_post0",)).folder
        publish(work, place / MODEL)
        patch.chdir("/")
        yield place


def test_directions_are_read_switched_off_and_steered(folder: Path) -> None:
    units = UnitReadings(Readings(ModelShelf()), OpenStores())
    asked = {"model": MODEL, "site": "ways", "text": TEXT, "unit": 1}
    assert units.load(SiteRequest(model=MODEL, site="ways")).changes == ("zero", "add")
    model = ms.load_model(MODEL)
    logits, cache = model.run_with_cache(TEXT)
    stream, direction = cache["resid_post", 0][0], _direction(folder)
    values = units.read(LiveTextRequest(**asked)).values
    assert values == pytest.approx((stream @ direction).tolist(), abs=1e-4)
    changed = {
        "zero": stream - (stream @ direction)[:, None] * direction / direction.square().sum(),
        "add": stream + 100.0 * direction / direction.square().sum(),
    }
    for change, moved in changed.items():
        effect = units.effect(EffectRequest(**asked, position=3, change=change, amount=100.0))
        after = model.unembed(model.ln_final(moved[None]))[0, 3].softmax(-1)
        before = logits[0, 3].softmax(-1)
        best = after.topk(len(effect.rows)).indices
        assert [row.after for row in effect.rows] == pytest.approx(after[best].tolist(), abs=1e-4)
        assert [row.before for row in effect.rows] == pytest.approx(before[best].tolist(), abs=1e-4)
        assert effect.divergence > 1e-4


def test_directions_fire_on_a_text(folder: Path) -> None:
    with NeuroscopeStore.open(MODEL) as store:
        assert store.folder == folder / MODEL
        found = fire(store, TEXT)
    assert {unit.address.unit for unit in found.units} == {0, 1, 2}


def test_a_file_that_has_changed_is_refused(folder: Path) -> None:
    path = folder / "ways.safetensors"
    before = path.read_bytes()
    save_file({"directions": torch.eye(64)[:3]}, path)
    said = r"ways.safetensors@resid_post0 has changed since ways was harvested from it \(checksum .* harvest it again"
    try:
        with NeuroscopeStore.open(MODEL) as store, pytest.raises(ValueError, match=said):
            fire(store, TEXT)
        with pytest.raises(RefusedError, match=said) as refused:
            UnitReadings(Readings(ModelShelf()), OpenStores()).load(SiteRequest(model=MODEL, site="ways"))
        assert refused.value.status == 409
    finally:
        path.write_bytes(before)


def _direction(folder: Path) -> torch.Tensor:
    return load_file(folder / "ways.safetensors")["directions"][1]
