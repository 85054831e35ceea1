"""The glossary in the web lab: the list with its search box, an entry's page, and terms in lessons that lead there."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mechscope.glossary.draw import shipped_figure
from mechscope.glossary.entry import SECTIONS, all_entries, entries_of
from mechscope.glossary.site_pages import entry_route, section_route, site_pages
from mechscope.pages.site import Site, SitePage, collect_site
from mechscope.pages.terms import Term
from mechscope.web.rendering import render_site_page
from mechscope.web.static_site import build_site
from tests.browser import WatchedPage


@pytest.fixture(scope="module")
def site() -> Site:
    return collect_site()


def test_every_entry_has_a_small_page(site: Site) -> None:
    for entry in all_entries().values():
        page = render_site_page(site, site.pages[entry_route(entry)], is_served=False)
        assert len(page.encode()) < 40_000
        for slug in entry.links:
            assert f'href="../{slug}/index.html"' in page
        assert "<script>" not in page
        assert ("plotly.js" in page) == ('class="plot"' in page) == (shipped_figure(entry) is not None)


def test_an_entry_leads_to_exercises_steps_and_related_entries(site: Site) -> None:
    page = render_site_page(site, site.pages["glossary/cherry-picking/"], is_served=False)
    assert '<a href="../../course/r/index.html#red_team">Attack your own claim</a>' in page
    assert '<a href="../../steps/05-sae/index.html">step 05</a>' in page
    assert "<math" in page
    assert "def cherry_picking() -&gt; PageFigure:" in page
    assert "Simmons, Nelson and Simonsohn (2011)" in page


def test_a_section_is_a_chapter_in_which_nothing_is_needed_before_it_comes(site: Site) -> None:
    for section in SECTIONS:
        page = render_site_page(site, site.pages[section_route(section)], is_served=False)
        places = {entry.slug: page.index(f'<h2 id="{entry.slug}">') for entry in entries_of(section)}
        for entry in entries_of(section):
            assert all(places[slug] < places[entry.slug] for slug in entry.before if slug in places)
        assert set(re.findall(r'href="../../([a-z0-9-]+)/index.html"', page)) <= {*all_entries(), "section"}


def test_what_to_try_is_text_and_a_button(site: Site) -> None:
    page = render_site_page(site, site.pages["glossary/induction-head/"], is_served=False)
    assert "<p>The text says the same thing twice." in page
    assert 'data-model="mini-attn-only-2l" data-panels="attention interventions"' in page
    other = render_site_page(site, site.pages["glossary/cherry-picking/"], is_served=False)
    assert "data-model" not in other and "glossary_live.js" not in other


def test_lessons_link_their_terms(site: Site) -> None:
    explained = Term(("Softmax",), "Turns scores into shares.", "glossary/cherry-picking/")
    with_term = replace(site, terms=[explained])
    for route in ("course/00/", "steps/00-mnist-templates/"):
        page = render_site_page(with_term, site.pages[route], is_served=False)
        link = 'class="glossary-term" href="../../glossary/cherry-picking/index.html" title="Turns scores into shares."'
        assert page.count(link) == 1
    assert "glossary-term" not in render_site_page(
        with_term, site.pages["glossary/microscope-ai/"], is_served=False
    )


def test_ordinary_words_are_not_linked() -> None:
    names = {name.lower() for term in site_pages().terms for name in term.names}
    assert "cherry-picking" in names
    assert not names & {"feature", "head", "importance"}


def test_the_list_is_searched_and_an_entry_opens_from_a_disk(
    tmp_path: Path, browser: Any, site: Site
) -> None:
    def kept(page: SitePage) -> bool:
        return page.route in ("", "glossary/", "course/00/") or page.route.startswith("glossary/")

    term = Term(("Softmax",), "Turns scores into shares.", "glossary/microscope-ai/")
    small = replace(
        site,
        pages={route: page for route, page in site.pages.items() if kept(page)},
        files={},
        made_files={},
        terms=[term],
    )
    build_site(tmp_path / "site", small)
    watched = WatchedPage(browser, viewport={"width": 360, "height": 740})
    page = watched.page
    page.goto((tmp_path / "site" / "glossary" / "index.html").as_uri())
    page.wait_for_selector(".glossary-search:not([hidden])")
    shown = page.locator(".glossary-section li:visible")
    assert shown.count() == len(all_entries())
    page.fill("#glossary-words", "Forking-Paths")
    assert [shown.count(), shown.locator("a").first.inner_text()] == [1, "Cherry-picking"]
    assert page.inner_text("[data-part=count]") == "1 entry"
    page.fill("#glossary-words", "micrsocope ai")
    assert shown.locator("a").first.inner_text() == "Microscope AI"
    assert "similar name" in page.inner_text("[data-part=count]")
    assert not page.locator("[data-part=sections]").is_visible()
    page.fill("#glossary-words", "qqqqqq")
    assert shown.count() == 0
    assert page.inner_text("[data-part=count]") == "Nothing has these words."
    page.reload()
    page.wait_for_selector("text=Nothing has these words.")
    assert page.input_value("#glossary-words") == "qqqqqq"
    page.fill("#glossary-words", "")
    assert shown.count() == len(all_entries())
    page.get_by_role("link", name="Cherry-picking").click()
    page.locator(".plot").scroll_into_view_if_needed()
    page.wait_for_selector(".plot .main-svg")
    page.wait_for_function("() => document.documentElement.scrollWidth <= 360")
    # The line of a term appears when the keyboard reaches it.
    page.goto((tmp_path / "site" / "course" / "00" / "index.html").as_uri())
    page.locator("a.glossary-term").first.focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    content = "() => getComputedStyle(document.querySelector('a.glossary-term'), '::after').content"
    assert page.evaluate(content) == '"Turns scores into shares."'
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Microscope AI")
    assert watched.problems == []
    assert all(url.startswith(("file:", "blob:", "data:")) for url in watched.requests)
    page.close()
