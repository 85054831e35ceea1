"""The panel that runs a discovery method, in a real browser and with real runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mechscope.pages.site import collect_site
from mechscope.scoreboard import discover
from mechscope.scoreboard.discovery import program_record
from mechscope.web.rendering import render_site_page
from tests.browser import WatchedPage

PROGRAM = "previous_token"
ROUTE = f"circuits/planted/{PROGRAM}/"


def panel_of(browser: Any, address: str) -> WatchedPage:
    """A page with the panel, once it can be used."""
    watched = WatchedPage(browser, viewport={"width": 360, "height": 800})
    watched.page.goto(address + ROUTE)
    watched.page.wait_for_selector("main:not(:has([aria-busy])) .job-start")
    return watched


def state(page: Any, wanted: str) -> str:
    """Wait for a state, and read what the panel says about it."""
    page.wait_for_selector(f"[data-part=run][data-state='{wanted}']")
    return page.inner_text(".job-status")


def test_a_method_is_run_cancelled_and_compared(browser: Any, address: str) -> None:
    watched = panel_of(browser, address)
    page = watched.page
    command = ".job-same code"
    assert page.inner_text(command) == f"mechscope discover {PROGRAM} attribution --seed 1"
    # One that is cancelled: with the keyboard.
    page.select_option(".job-form [name=method]", "edge-patching")
    page.select_option(".job-form [name=condition]", "noisy")
    page.fill(".job-form [name=examples]", "256")
    page.focus(".job-start")
    page.keyboard.press("Enter")
    assert "You can close this page" in state(page, "running")
    page.get_by_role("button", name="Cancel").press("Enter")
    assert state(page, "cancelled").startswith("Cancelled (every edge patched separately, ")
    assert "kept" not in page.inner_text(".job-status")
    # One that is finished.
    page.select_option(".job-form [name=method]", "attribution")
    page.select_option(".job-form [name=condition]", "plain")
    page.fill(".job-form [name=examples]", "8")
    page.fill(".job-form [name=seed]", "5")
    assert page.inner_text(command) == f"mechscope discover {PROGRAM} attribution --examples 8 --seed 5"
    page.click(".job-start")
    assert "attribution patching, as compiled, 8 pairs of prompts, seed 5" in state(page, "finished")
    page.wait_for_selector("[data-part=beside]:not([hidden])")
    expected = discover(PROGRAM, "attribution", examples=8, seed=5)
    # Another process may sum in another order.
    scores = page.evaluate("plantedPage.runs[0].scores")
    assert scores == pytest.approx(list(expected.scores), rel=1e-4, abs=1e-5)
    record = program_record(PROGRAM)
    names = record["nodes"][1:-1]
    page.click("[data-part=both-title]")
    rows = page.eval_on_selector_all(
        "[data-part=both] tbody tr",
        "rows => rows.map((row) => [...row.cells].map((cell) => cell.dataset.value ?? cell.textContent))",
    )
    used = {end.partition("<")[0] for edge in record["true_edges"] for end in edge.split("->")}
    shipped = record["scores"]["plain"]["attribution"]
    assert [row[:2] for row in rows] == [[name, "yes" if name in used else "no"] for name in names]
    assert [float(row[2]) for row in rows] == pytest.approx(
        [abs(score) for score in expected.scores], rel=1e-4, abs=1e-5
    )
    assert [float(row[3]) for row in rows] == pytest.approx([abs(score) for score in shipped])
    differences = [abs(one - other) for one, other in zip(expected.scores, shipped, strict=True)]
    name = names[differences.index(max(differences))]
    assert page.inner_text("[data-part=difference]").endswith(f", at {name}.")
    # Both graphs compare with the truth.
    for part in ("graph", "shipped"):
        assert "true nodes found" in page.inner_text(f"[data-part={part}] .ms-words")
    assert 'discover("previous_token", "attribution"' in page.text_content("[data-part=python]")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # A closed tab loses nothing: the next one offers what was found.
    page.select_option("[data-part=method]", "eap")
    assert page.is_hidden("[data-part=beside]")
    page.reload()
    state(page, "finished")
    page.wait_for_selector("[data-part=method] [value='run-0']", state="attached")
    assert page.is_hidden("[data-part=beside]")
    page.get_by_role("button", name="Show its circuit").click()
    page.wait_for_selector("[data-part=beside]:not([hidden])")
    assert watched.problems == []
    page.close()


def test_a_refusal_is_a_sentence(browser: Any, address: str) -> None:
    watched = panel_of(browser, address)
    page = watched.page
    page.evaluate(
        """() => { const select = document.querySelector(".job-form [name=method]");
        select.append(new Option("<b>no method</b>", "<b>epa</b>")); select.value = "<b>epa</b>"; }"""
    )
    page.click(".job-start")
    page.wait_for_selector("[data-part=run] .problem:not([hidden])")
    assert "there is no method '<b>epa</b>'" in page.inner_text("[data-part=run] .problem")
    assert page.query_selector("[data-part=run] .problem b") is None
    page.close()


def test_the_static_page_says_what_it_needs(tmp_path: Path) -> None:
    site = collect_site()
    static = render_site_page(site, site.pages[ROUTE], is_served=False)
    assert 'data-part="run"' not in static
    assert "this page needs a server on your machine: <code>mechscope serve</code>" in static
    assert f"mechscope discover {PROGRAM} attribution --seed 1" in static
    code = static.partition("And in Python:</p>")[2].partition("<code>")[2].partition("</code>")[0]
    # What the page tells readers to run does run.
    names: dict[str, Any] = {}
    exec(code.replace("&#34;", '"'), names)
    assert names["found"].scores == discover(PROGRAM, "attribution", seed=1).scores
