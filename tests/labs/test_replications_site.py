"""The page of all replications shows every claim of the runs that the steps' pages show, with its verdict."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest

from mechscope.labs import replications_site, run_lab
from mechscope.labs.registry import LABS, LabEntry
from mechscope.labs.shown_run import choose_run
from mechscope.pages.site import Site, collect_site
from mechscope.web.rendering import render_site_page
from tests.labs.tiny_lab import tiny_lab

TINY = LabEntry("99", "tiny", "nowhere", "small")


@pytest.fixture(scope="module")
def site() -> Site:
    return collect_site()


def rows_of(site: Site, runs: Path | None) -> list[list[str]]:
    page = render_site_page(site, site.pages["replications/"], is_served=True, runs=runs)
    lines = re.findall(r"<tr>(.*?)</tr>", page.split("<tbody>", 2)[2], re.S)
    cells = [re.findall(r"<td>(.*?)</td>", line, re.S) for line in lines]
    return [[unescape(re.sub(r"<.*?>", "", cell)).strip() for cell in row] for row in cells]


def test_every_claim_of_a_run_is_a_row(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_lab(tiny_lab(tmp_path), "full", out=tmp_path / "runs", device="cpu")
    monkeypatch.setattr(replications_site, "LABS", (TINY,))
    rows = rows_of(site, tmp_path / "runs")
    assert rows[0][:2] == ["9.1", "The value is 1."]
    assert rows[0][3].startswith("value 1") and rows[0][4] == "✓ reproduced"
    assert rows[1][0] == "9.2" and rows[1][4] == "– not run"
    assert rows[1][3] == "there are no stars" or "there are no stars" in rows[1][3]
    page = render_site_page(site, site.pages["replications/"], is_served=True, runs=tmp_path / "runs")
    assert "<b>stars</b>" not in page  # a claim's text is text
    assert "yours, full budget" in page


def test_without_own_runs_it_shows_those_that_come_with_mechscope(site: Site) -> None:
    shown = [choose_run(None, entry).run for entry in LABS]
    expected = [claim["id"] for run in shown if run is not None for claim in run.page.claims.claims]
    assert [row[0] for row in rows_of(site, None)] == expected
