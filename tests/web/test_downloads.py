"""Files that readers save from a page: written when they are asked for, the same in both sites."""

from __future__ import annotations

from pathlib import Path

import pytest

from mechscope.labs import find_lab, lab_notebook
from mechscope.pages.site import Site, SitePage, SiteRoom, collect_site
from mechscope.web.rendering import render_site_page
from mechscope.web.static_site import build_site
from tests.web.pages import PAGE

STEP = "steps/03-induction/"
NOTEBOOK = f"{STEP}03-induction.ipynb"


@pytest.fixture(scope="module")
def site() -> Site:
    """The site with one step only."""
    whole = collect_site()
    room = SiteRoom([whole.pages[""], whole.pages[STEP]], made_files={NOTEBOOK: whole.made_files[NOTEBOOK]})
    return collect_site([room])


def test_there_is_a_notebook_for_every_step() -> None:
    site = collect_site()
    steps = {route for route in site.pages if route.startswith("steps/") and route != "steps/"}
    assert {path.rpartition("/")[0] + "/" for path in site.made_files if path.endswith(".ipynb")} == steps


def test_a_step_s_page_offers_its_notebook(site: Site) -> None:
    html = render_site_page(site, site.pages[STEP], is_served=False)
    assert f'<a href="../../{NOTEBOOK}" download>' in html


def test_it_is_served(site: Site) -> None:
    testclient = pytest.importorskip("starlette.testclient", reason="needs mechscope[web]")
    from mechscope.web.server import make_app

    client = testclient.TestClient(make_app(site), base_url="http://127.0.0.1:8080")
    answer = client.get(f"/{NOTEBOOK}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-ipynb+json"
    assert answer.text == lab_notebook(find_lab("induction"))
    assert client.get(f"/{STEP}04-ioi.ipynb").status_code == 404


def test_it_is_in_the_static_site(site: Site, tmp_path: Path) -> None:
    build_site(tmp_path / "site", site)
    assert (tmp_path / "site" / NOTEBOOK).read_text(encoding="utf-8") == lab_notebook(find_lab("induction"))


def test_two_rooms_cannot_offer_one_file() -> None:
    room = SiteRoom([], made_files={"a.txt": lambda: b""})
    with pytest.raises(ValueError, match="two rooms contribute the file 'a.txt'"):
        collect_site([room, SiteRoom([SitePage("", "Home", PAGE)], made_files=room.made_files)])
