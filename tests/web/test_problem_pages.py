"""Open problems in the web lab: the list with its filters, a problem's page, and links to it from entries and units."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from markupsafe import escape

from mechscope.pages.site import Backlink, Site, SitePage, SiteRoom, collect_site
from mechscope.problems.listing import all_problems, find_problem
from mechscope.problems.measurement import FILE
from mechscope.problems.problem import AREAS, COMPUTE, RATINGS, STATUSES, Problem
from mechscope.problems.report import report_page
from mechscope.problems.site_pages import problem_route
from mechscope.problems.started import read_started, start
from mechscope.problems.starter import shipped_measurement
from mechscope.web.rendering import render_site_page
from mechscope.web.static_site import build_site
from tests.browser import WatchedPage
from tests.web.pages import PAGE

ID = "memory-after-grokking"


@pytest.fixture(scope="module")
def site() -> Site:
    return collect_site()


def test_every_problem_has_a_small_page(site: Site) -> None:
    for problem in all_problems().values():
        page = render_site_page(site, site.pages[problem_route(problem)], is_served=False)
        assert len(page.encode()) < 50_000
        assert f"mechscope problems start {problem.slug}" in page
        assert "<script>" not in page
        for slug in problem.glossary:
            assert f'href="../../glossary/{slug}/index.html"' in page
        assert f'href="../../course/{problem.unit.lower()}/index.html"' in page
        shipped = shipped_measurement(problem)
        assert shipped is not None
        without_links = re.sub(r"</?a\b[^>]*>", "", page)
        for words in shipped.baseline:
            assert f"<td>{escape(words)}</td>" in without_links
        assert page.count('class="plot"') == 1


def test_entries_and_units_lead_back_to_the_problems(site: Site) -> None:
    problem = find_problem(ID)
    link = f'<li><a href="../../problems/{ID}/index.html">{problem.title}</a></li>'
    for route in ("glossary/grokking/", "course/02/"):
        page = render_site_page(site, site.pages[route], is_served=False)
        assert page.count(link) == 1 and page.count("Open problems:") == 1
    for route in ("glossary/microscope-ai/", "course/p/"):
        assert link not in render_site_page(site, site.pages[route], is_served=False)


def test_models_link_to_their_pages(site: Site) -> None:
    page = render_site_page(site, site.pages[f"problems/{ID}/"], is_served=False)
    assert '<a href="../../models/grokking-p113/index.html">grokking-p113</a>' in page


def test_a_link_for_another_room_must_lead_somewhere() -> None:
    pages = [SitePage("", "Home", PAGE), SitePage("a/", "A", PAGE)]
    link = Backlink("", "a/", "A", "Page")
    assert collect_site([SiteRoom(pages, backlinks=[link])]).backlinks == {"": [link]}
    with pytest.raises(ValueError, match="'' links to 'A' at 'b/', which is no page"):
        collect_site([SiteRoom(pages, backlinks=[replace(link, route="b/")])])


def small_site(folder: Path, site: Site) -> Path:
    kept = {
        route: page
        for route, page in site.pages.items()
        if route in ("", "glossary/grokking/", "course/02/") or route.startswith("problems/")
    }
    build_site(folder, replace(site, pages=kept, files={}, made_files={}))
    return folder


def test_the_list_is_filtered_from_a_disk(tmp_path: Path, browser: Any, site: Site) -> None:
    address = (small_site(tmp_path / "site", site) / "problems" / "index.html").as_uri()
    watched = WatchedPage(browser, viewport={"width": 360, "height": 740})
    page = watched.page
    page.goto(address)
    page.wait_for_selector(".problem-filters:not([hidden])")
    shown = page.locator(".problem-area li:visible")

    def check(fits: Callable[[Problem], bool], fragment: str) -> None:
        wanted = [problem for problem in all_problems().values() if fits(problem)]
        assert shown.locator("a").all_inner_texts() == [problem.title for problem in wanted]
        words = f"{len(wanted)} problem{'s' * (len(wanted) != 1)}" if wanted else "No problem fits"
        assert page.inner_text("[data-part=count]").startswith(words)
        headings = [AREAS[area] for area in AREAS if any(problem.area == area for problem in wanted)]
        assert page.locator(".problem-area h2:visible").all_inner_texts() == headings
        assert page.evaluate("location.hash") == fragment

    check(lambda problem: True, "")
    known = {"rating": RATINGS, "area": AREAS, "status": STATUSES, "compute": COMPUTE}
    for name, values in known.items():
        used = {getattr(problem, name) for problem in all_problems().values()}
        value = next(value for value in reversed(values) if value in used)
        page.select_option(f"select[name={name}]", value)
        check(
            lambda problem, name=name, value=value: getattr(problem, name) == value,
            f"#{name}={value.replace(' ', '+')}",
        )
        page.select_option(f"select[name={name}]", "")
    # The model is not in the title; two conditions at once.
    page.fill("input[name=words]", "Grokking P113 ")
    page.select_option("select[name=rating]", "A")
    check(
        lambda problem: problem.rating == "A" and "grokking-p113" in problem.models,
        "#rating=A&words=Grokking+P113",
    )
    # A reload and a link keep the filters; with the keyboard they go away again.
    page.reload()
    page.wait_for_selector(".problem-filters:not([hidden])")
    assert page.input_value("input[name=words]") == "Grokking P113"
    page.fill("input[name=words]", "qqqqqq")
    assert shown.count() == 0 and "leave something out" in page.inner_text("[data-part=count]")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Show all"
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.activeElement.name === 'rating'")
    check(lambda problem: True, "")
    page.keyboard.press("A")  # the first option that begins with it
    check(lambda problem: problem.rating == "A", "#rating=A")
    # Choices that do not exist are ignored.
    page.evaluate("location.hash = '#rating=Z&area=training&other=1'")
    page.wait_for_function("() => document.querySelector('select[name=area]').value === 'training'")
    assert page.input_value("select[name=rating]") == ""
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.get_by_role("link", name=find_problem(ID).title).click()
    page.locator(".plot").scroll_into_view_if_needed()
    page.wait_for_selector(".plot .main-svg")
    page.wait_for_function("() => document.documentElement.scrollWidth <= 360")
    page.get_by_role("link", name="Training dynamics").click()
    page.wait_for_selector(".problem-filters:not([hidden])")
    check(lambda problem: problem.area == "training", "#area=training")
    assert watched.problems == []
    assert all(url.startswith(("file:", "blob:", "data:")) for url in watched.requests)
    page.close()


def test_a_report_loads_nothing_and_draws_its_figures(tmp_path: Path, browser: Any) -> None:
    folders: list[Path] = []
    for problem in list(all_problems().values())[:2]:
        folders.append(start(problem, tmp_path / problem.slug))
        (folders[-1] / FILE).write_bytes((problem.folder / FILE).read_bytes())
    with (folders[0] / "notes.md").open("a", encoding="utf-8") as notes:
        notes.write("\n<img src='https://example.com/a.png' onerror='document.title = 1'>\n")
    report = tmp_path / "report.html"
    report.write_text(report_page([read_started(folder) for folder in folders]), encoding="utf-8")
    watched = WatchedPage(browser, viewport={"width": 360, "height": 740})
    page = watched.page
    page.goto(report.as_uri())
    for number in (1, 2):
        page.locator(f"#figure-plot-{number} .plot").scroll_into_view_if_needed()
        page.wait_for_selector(f"#figure-plot-{number} .main-svg")
    assert "onerror='document.title" in page.inner_text("#problem-1")
    assert page.title() == "Work on open problems · mechscope"
    page.wait_for_function("() => document.documentElement.scrollWidth <= 360")
    assert watched.problems == []
    assert all(url.startswith(("file:", "blob:", "data:")) for url in watched.requests)
    page.close()
