"""The pages of the steps show a lesson with its figures, from the reader's last run or from one that ships."""

from __future__ import annotations

import base64
import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mechscope.labs.registry import LABS, LabEntry
from mechscope.labs.run_page import read_page
from mechscope.labs.shown_run import SHIPPED
from mechscope.labs.site_pages import LIVE
from mechscope.pages.site import collect_site
from mechscope.web.rendering import render_site_page
from tests.browser import WatchedPage, served_site

STEPS = pytest.mark.parametrize("entry", LABS, ids=lambda entry: entry.slug)
OWN, DAMAGED, OLD = LABS[3], LABS[4], LABS[0]
ALL_DRAWN = "() => [...document.querySelectorAll('.plot')].every((plot) => plot.querySelector('.main-svg'))"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an own run of one step, a damaged one of another, and one of an earlier version."""
    folder = tmp_path_factory.mktemp("own") / "runs"
    for entry in (OWN, DAMAGED, OLD):
        run = folder / entry.folder_name / "quick-seed-7"
        run.mkdir(parents=True)
        content = json.loads((SHIPPED / f"{entry.folder_name}.json").read_text(encoding="utf-8"))
        claims = content["claims"] | {
            "budget": "quick",
            "seeds": [7],
            "finished": "2026-03-09T12:00:00+00:00",
        }
        content["claims"] = claims
        text = json.dumps(content)
        (run / "claims.json").write_text(json.dumps(claims), encoding="utf-8")
        if entry is not OLD:
            (run / "page.json").write_text(text if entry is OWN else text[:-900], encoding="utf-8")
    (folder / OWN.folder_name / "quick-seed-7" / "report.html").write_text(
        "<h1>My report</h1>", encoding="utf-8"
    )
    return folder


@pytest.fixture(scope="module")
def own_address(runs: Path) -> Iterator[str]:
    with served_site(runs=runs) as found:
        yield found


@STEPS
def test_a_fresh_install_shows_everything(entry: LabEntry) -> None:
    shipped = read_page(SHIPPED / f"{entry.folder_name}.json")
    site = collect_site()
    html = render_site_page(site, site.pages[f"steps/{entry.folder_name}/"], is_served=True)
    assert f"<h1>{shipped.claims.title}</h1>" in html
    assert "a run that comes with mechscope" in html
    assert 'role="alert"' not in html
    captions = dict(re.findall(r'<figcaption id="([^"]+)">(.+?)</figcaption>', html))
    described = re.findall(r'class="plot" role="img" aria-label="[^"]+" aria-describedby="([^"]+)"', html)
    assert len(described) == len(shipped.figures) > 5
    assert set(described) == set(captions)
    rows = html.partition('<table class="claims">')[2].count('<td data-label="Verdict">')
    assert rows == len(shipped.claims.claims) > 5
    assert html.count("data-live=") == (entry.slug in LIVE)
    # The live figure stands where the lesson has its place: between two of its paragraphs.
    if entry.slug in LIVE:
        assert re.search(r'<article.*<h2>.*<section class="live".*<h2>.*</article>', html, re.S)


@pytest.mark.slow
def test_a_telephone_shows_every_step(browser: Any, address: str) -> None:
    watched = WatchedPage(browser, viewport={"width": 360, "height": 800})
    page = watched.page
    for entry in LABS:
        watched.requests.clear()
        page.goto(f"{address}steps/{entry.folder_name}/")
        page.wait_for_function("() => window.Plotly")
        page.eval_on_selector(".plot", "(plot) => plot.scrollIntoView()")
        page.wait_for_selector(".plot .main-svg", state="attached")
        page.wait_for_function("() => document.documentElement.scrollWidth <= 360")
        page.wait_for_load_state("networkidle")
        urls = {url for url in watched.requests if url.startswith("http")}
        assert all(url.startswith(address) for url in urls)
        assert sum("plotly.js" in url for url in urls) == 1
        # Without Plotly and without models.
        weight = sum(_size(url) for url in urls if "/files/" not in url and "plotly.js" not in url)
        assert 50_000 < weight < 400_000, entry.slug
    assert watched.problems == []
    page.close()


def _size(url: str) -> int:
    with urllib.request.urlopen(url) as answer:
        return len(answer.read())


@pytest.mark.slow
@pytest.mark.parametrize("entry", LABS, ids=lambda entry: entry.slug)
def test_every_figure_is_drawn_on_the_screen_and_on_paper(
    browser: Any, address: str, entry: LabEntry
) -> None:
    watched = WatchedPage(browser, viewport={"width": 1000, "height": 800})
    page = watched.page
    page.goto(f"{address}steps/{entry.folder_name}/")
    page.wait_for_function("() => window.Plotly")
    page.evaluate(
        """async () => {
          for (const plot of document.querySelectorAll(".plot")) {
            plot.scrollIntoView();
            await new Promise(requestAnimationFrame);
          }
        }"""
    )
    page.wait_for_function(ALL_DRAWN)
    page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.plot .main-svg')].every((svg) => svg.clientWidth <= 600)"
    )
    assert watched.problems == []
    page.close()


def test_figures_follow_the_theme(browser: Any, address: str) -> None:
    watched = WatchedPage(browser, color_scheme="light")
    page = watched.page
    page.goto(f"{address}steps/{LABS[0].folder_name}/")
    page.locator(".plot").first.scroll_into_view_if_needed()
    colours = [_text_colour(page)]
    page.click("#theme")
    page.click("#theme")
    assert page.inner_text("#theme") == "Theme: dark"
    colours.append(_text_colour(page))
    page.reload()
    page.locator(".plot").first.scroll_into_view_if_needed()
    assert page.inner_text("#theme") == "Theme: dark"
    colours.append(_text_colour(page))
    assert colours[0] != colours[1] == colours[2]
    assert watched.problems == []
    page.close()


def _text_colour(page: Any) -> str:
    """The colour of the words of the first figure."""
    page.wait_for_selector(".plot .main-svg text", state="attached")
    return page.eval_on_selector(".plot .main-svg text", "(text) => getComputedStyle(text).fill")


def test_the_numbers_of_a_figure_are_those_that_it_draws(browser: Any, address: str) -> None:
    watched = WatchedPage(browser)
    page = watched.page
    # A map, whose cells are floats, and a picture, whose cells are scaled whole numbers.
    for entry, name in ((LABS[4], "stream"), (LABS[0], "weights")):
        figure = next(f for f in read_page(SHIPPED / f"{entry.folder_name}.json").figures if f.name == name)
        z = figure.plot["data"][0]["z"]
        expected = np.frombuffer(base64.b64decode(z["bdata"]), f"<{z['dtype']}") * z.get("scale", 1)
        page.goto(f"{address}steps/{entry.folder_name}/")
        page.wait_for_function("() => window.Plotly")
        page.eval_on_selector(f"#figure-{name} .plot", "(plot) => plot.scrollIntoView()")
        page.wait_for_selector(f"#figure-{name} .main-svg", state="attached")
        page.locator(f"#figure-{name} summary").click()
        cells = page.locator(f"#figure-{name} .numbers-table tbody td:last-child")
        cells.first.wait_for()  # the table is filled when it is opened
        shown = cells.all_inner_texts()
        drawn = page.eval_on_selector(
            f"#figure-{name} .plot",
            "(plot) => Array.from(plot._fullData[0].z, (row) => Array.from(row)).flat()",
        )
        assert drawn == pytest.approx(expected.tolist())
        assert len(shown) > 10
        assert [float(cell) for cell in shown] == pytest.approx(drawn[: len(shown)], rel=1e-3, abs=1e-12)
    assert watched.problems == []
    page.close()


def test_the_readers_own_run_takes_the_place_of_the_shipped_one(browser: Any, own_address: str) -> None:
    watched = WatchedPage(browser)
    page = watched.page
    page.goto(f"{own_address}steps/{OWN.folder_name}/")
    words = page.inner_text(".which-run")
    assert words.startswith("These are the figures and numbers of your run of 9 March 2026")
    assert "quick budget, seed 7" in words
    assert page.locator("main > p.problem").count() == 0
    with page.expect_download() as saved:
        page.get_by_role("link", name="Save the report").click()
    assert saved.value.suggested_filename == f"{OWN.folder_name}-report.html"
    assert Path(saved.value.path()).read_text(encoding="utf-8") == "<h1>My report</h1>"
    page.goto(f"{own_address}steps/{LABS[0].folder_name}/")
    assert page.get_by_role("link", name="Save the report").count() == 0
    page.goto(own_address)
    steps = page.locator(".steps-map li")
    assert "quick budget, seed 7; 9 March 2026" in steps.nth(3).inner_text()
    assert re.search(r"\d+ reproduced", steps.nth(3).inner_text())
    assert "reproduced" not in steps.nth(2).inner_text()
    assert "Below each step is what it came to on this machine" in page.inner_text("main")
    assert watched.problems == []
    page.close()


def test_runs_that_cannot_be_shown_say_so_and_the_page_is_whole(browser: Any, own_address: str) -> None:
    watched = WatchedPage(browser)
    page = watched.page
    for entry, words in ((DAMAGED, "is not valid JSON"), (OLD, "made by an earlier version of mechscope")):
        page.goto(f"{own_address}steps/{entry.folder_name}/")
        problem = page.inner_text("main > p.problem")
        assert f"Your run {entry.folder_name}/quick-seed-7" in problem
        assert words in problem
        assert f"mechscope run {entry.slug} --budget quick --seed 7" in problem
        assert "a run that comes with mechscope" in page.inner_text(".which-run")
        assert page.locator("figure .plot").count() > 5
    assert watched.problems == []
    page.close()


def test_pages_without_figures_do_without_plotly(browser: Any, address: str) -> None:
    watched = WatchedPage(browser)
    for route in ("", "steps/", "models/"):
        watched.page.goto(address + route)
        watched.page.wait_for_load_state("networkidle")
    assert not [url for url in watched.requests if "plotly" in url]
    assert "Nothing has been run on this machine yet" in _home(watched.page, address)
    watched.page.close()


def _home(page: Any, address: str) -> str:
    page.goto(address)
    return page.inner_text("main")
