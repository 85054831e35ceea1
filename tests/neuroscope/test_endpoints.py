"""What the server answers about stores: those that there are now, and one sentence for what it cannot answer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mechscope.neuroscope import folders
from mechscope.neuroscope.connections import FILE
from mechscope.neuroscope.endpoints import neuroscope_endpoints
from mechscope.neuroscope.messages import SearchRequest, SiteRequest, UnitRequest
from mechscope.pages.endpoints import Nothing, RefusedError
from tests.neuroscope import stores


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of all stores; there is one."""
    monkeypatch.setenv(folders.VARIABLE, str(tmp_path))
    monkeypatch.setattr(folders, "READY", tmp_path / "none")
    stores.toy_store(tmp_path / "toy")
    return tmp_path


def ask(path: str, request: Any) -> Any:
    (handle,) = [each.handle for each in neuroscope_endpoints() if each.path == f"neuroscope/{path}"]
    return handle(request)


def test_a_store_that_cannot_be_read_does_not_hide_the_others(place: Path) -> None:
    (place / "broken").mkdir()
    (place / "broken" / FILE).write_text("no database")
    found = ask("stores", Nothing())
    assert [line.model for line in found.stores] == ["toy"]
    assert [site.name for site in found.stores[0].sites] == ["mlp0", "attn0.entropy"]
    assert not found.stores[0].sites[0].in_browser
    assert len(found.problems) == 1
    assert "broken" in found.problems[0]


def test_units_tables_and_findings(place: Path) -> None:
    assert ask("unit", UnitRequest(model="toy", site="mlp0", unit=1)).statistics.firing_rate == 0.33333
    table = json.loads(ask("table", SiteRequest(model="toy", site="mlp0")))
    assert table["statistics"]["maximum"] == [3.0, 4.0, 5.0]
    assert "histograms" not in table
    assert ask("search", SearchRequest(model="toy", words="mat")).found[0].site == "attn0.entropy"


@pytest.mark.parametrize(
    ("path", "request_", "status", "words"),
    [
        ("unit", UnitRequest(model="tony", site="mlp0", unit=1), 404, "toy"),
        ("unit", UnitRequest(model="toy", site="mlp0", unit=3), 404, "units 0 to 2"),
        ("table", SiteRequest(model="toy", site="mlp1"), 404, "Did you mean mlp0"),
    ],
)
def test_what_is_not_there_is_said(place: Path, path: str, request_: Any, status: int, words: str) -> None:
    with pytest.raises(RefusedError, match=words) as refused:
        ask(path, request_)
    assert refused.value.status == status


def test_a_store_that_was_replaced_is_opened_again(place: Path) -> None:
    endpoints = {each.path: each.handle for each in neuroscope_endpoints()}
    table = endpoints["neuroscope/table"]
    assert json.loads(table(SiteRequest(model="toy", site="mlp0")))["units"] == 3
    sites = (stores.neurons(5), stores.heads())
    stores.write_contents(
        place / "other", stores.contents(sites=sites, site_sizes={"mlp0": 5, "attn0.entropy": 2})
    )
    shutil.rmtree(place / "toy")
    (place / "other").rename(place / "toy")
    assert json.loads(table(SiteRequest(model="toy", site="mlp0")))["units"] == 5


def test_only_stores_in_the_folder_of_stores_are_read_whatever_a_page_sends(
    place: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = stores.toy_store(tmp_path_factory.mktemp("elsewhere") / "secret")
    monkeypatch.chdir(elsewhere.parent)
    for name in (
        str(elsewhere),
        "secret",
        "./secret",
        f"../{elsewhere.parent.name}/secret",
        "..",
        "toy/",
        ".",
    ):
        with pytest.raises(RefusedError, match="there is no neuroscope store") as refused:
            ask("unit", UnitRequest(model=name, site="mlp0", unit=1))
        assert refused.value.status == 404
