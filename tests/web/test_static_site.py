"""The static site: every link leads somewhere, it opens from a disk, and it replaces only what it wrote."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from mechscope.pages.site import SitePage, SiteRoom, collect_site
from mechscope.web.static_site import build_site
from tests.browser import WatchedPage
from tests.web.pages import PAGE


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published") / "under" / "a path"
    folder.parent.mkdir()
    assert build_site(folder) == len(collect_site().pages)
    return folder


def test_every_link_leads_to_a_file(site: Path) -> None:
    links = 0
    for page in site.rglob("*.html"):
        for link in re.findall(r'(?:href|src)="([^"]*)"', page.read_text(encoding="utf-8")):
            parts = urlsplit(link)
            assert not parts.netloc, f"{page} loads {link} from elsewhere"
            if parts.scheme != "data" and parts.path:
                assert (page.parent / unquote(parts.path)).is_file(), f"{page} links to {link}"
                links += 1
    assert links > 50


def test_pages_and_the_site_are_small(site: Path) -> None:
    assert sum(file.stat().st_size for file in site.rglob("*") if file.is_file()) < 40e6
    for page in site.rglob("*.html"):
        is_long = page.parent.parent.name in ("steps", "course") or page.parent.name in (
            "replications",
            "glossary",
            "problems",
        )
        assert page.stat().st_size < (300_000 if is_long else 50_000)
    for module in (site / "static").glob("*.js"):
        assert module.name in ("modules.js", "plotly.js") or module.stat().st_size <= 25_000
    # Plotly is there once, and not among the modules of pages that do without it.
    assert (site / "static" / "modules.js").stat().st_size < 1_000_000


def test_it_opens_from_a_disk(site: Path, browser: Any) -> None:
    watched = WatchedPage(browser)
    watched.page.goto((site / "models" / "ioi-twin" / "index.html").as_uri())
    watched.page.wait_for_selector(".ms-next table")
    assert watched.problems == []
    assert all(url.startswith(("file:", "blob:", "data:")) for url in watched.requests)
    watched.page.click("nav a.brand")
    assert watched.page.title() == "Home · mechscope"
    watched.page.close()


def test_a_planted_circuit_opens_from_a_disk(site: Path, browser: Any) -> None:
    watched = WatchedPage(browser)
    watched.page.goto((site / "circuits" / "planted" / "induction" / "index.html").as_uri())
    watched.page.wait_for_selector("main:not(:has([aria-busy]))")
    assert watched.page.locator(".ms-edge-hit:not([hidden])").count() == 5
    watched.page.click("[data-part=patch]")
    watched.page.wait_for_selector("text=118 edges patched.")
    assert "true edges found" in watched.page.inner_text("figure .ms-words")
    assert watched.problems == []
    assert all(url.startswith(("file:", "blob:", "data:")) for url in watched.requests)
    watched.page.close()


def test_a_step_opens_from_a_disk_with_its_figures(site: Path, browser: Any) -> None:
    watched = WatchedPage(browser)
    watched.page.goto((site / "steps" / "04-ioi" / "index.html").as_uri())
    watched.page.locator(".plot").first.scroll_into_view_if_needed()
    watched.page.wait_for_selector(".plot .main-svg")
    watched.page.wait_for_selector("main:not(:has([aria-busy]))")
    assert watched.problems == []
    assert all(url.startswith(("file:", "blob:", "data:")) for url in watched.requests)
    assert "on this machine" not in watched.page.inner_text(".which-run")
    watched.page.close()


def test_an_earlier_site_is_replaced(tmp_path: Path) -> None:
    first = collect_site(
        [
            SiteRoom(
                [
                    SitePage("", "First", PAGE),
                    SitePage("gone/", "Gone", PAGE),
                ]
            )
        ]
    )
    second = collect_site([SiteRoom([SitePage("", "Second", PAGE)])])
    build_site(tmp_path / "site", first)
    build_site(tmp_path / "site", second)
    assert "Second" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert not (tmp_path / "site" / "gone").exists()


def test_other_folders_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work", encoding="utf-8")
    with pytest.raises(ValueError, match="holds no mechscope site"):
        build_site(tmp_path)
    with pytest.raises(ValueError, match="holds no mechscope site"):
        build_site(tmp_path / "thesis.tex")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_rooms_may_not_share_a_route() -> None:
    room = SiteRoom([SitePage("a/", "A", PAGE)])
    with pytest.raises(ValueError, match="two rooms contribute the route 'a/'"):
        collect_site([room, room])


def test_files_that_are_made_are_written_like_others(tmp_path: Path) -> None:
    made = SiteRoom([SitePage("", "Home", PAGE)], made_files={"files/made.bin": lambda: b"\x00made"})
    build_site(tmp_path / "site", collect_site([made]))
    assert (tmp_path / "site" / "files" / "made.bin").read_bytes() == b"\x00made"
    script = (tmp_path / "site" / "files" / "made.bin.js").read_text(encoding="utf-8")
    assert script == '(window.mechscopeFiles ??= {})["files/made.bin"] = "AG1hZGU=";\n'
    with pytest.raises(ValueError, match="two rooms contribute the file 'files/made.bin'"):
        collect_site([made, SiteRoom([], files={"files/made.bin": PAGE})])


@pytest.mark.parametrize("route", ["a", "/a/", "a//b/", "../a/", "a/./"])
def test_routes_are_folders(route: str) -> None:
    with pytest.raises(ValueError, match="route"):
        SitePage(route, "A", PAGE)


@pytest.mark.parametrize(
    ("step", "drawn"), [("02-grokking", ".live-cosines svg"), ("05-sae", ".live-steered .ms-token")]
)
def test_live_figures_open_from_a_disk(site: Path, browser: Any, step: str, drawn: str) -> None:
    watched = WatchedPage(browser)
    watched.page.goto((site / "steps" / step / "index.html").as_uri())
    watched.page.wait_for_selector(drawn)
    assert watched.problems == []
    assert all(url.startswith(("file:", "blob:", "data:")) for url in watched.requests)
    watched.page.close()


def test_rooms_may_share_a_file_but_not_its_name(tmp_path: Path) -> None:
    one, other = (SiteRoom([], files={"files/a.json": tmp_path / name}) for name in ("a.json", "b.json"))
    assert collect_site([one, one]).files == one.files
    with pytest.raises(ValueError, match=r"two rooms contribute the file 'files/a\.json'"):
        collect_site([one, other])
