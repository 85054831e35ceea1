"""page.json holds everything that a page about a run shows, and a file from elsewhere cannot bring a script with it."""

from __future__ import annotations

import copy
import json
import re
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from mechscope.labs import LabRun, read_claims, run_lab
from mechscope.labs.page_parts import page_parts
from mechscope.labs.registry import LabEntry
from mechscope.labs.run_page import FILE, page_content, parse_page, read_page
from mechscope.labs.site_pages import TEMPLATES, step_content
from mechscope.pages.site import SitePage, SiteRoom, collect_site
from mechscope.reading import naming
from mechscope.web.rendering import render_site_page
from tests.damage import Kind, assert_damage_is_noticed
from tests.labs.tiny_lab import tiny_lab

ATTACK = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'`{{ 7 * 7 }}"
ENTRY = LabEntry("99", "tiny", "nowhere", "small")
STEP = SitePage(
    "steps/99-tiny/",
    "Step 99",
    TEMPLATES / "step.html",
    partial(step_content, ENTRY, None, None, None),
    has_figures=True,
)
SITE = collect_site([SiteRoom([STEP])])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> LabRun:
    folder = tmp_path_factory.mktemp("run")
    return run_lab(tiny_lab(folder, value=3.0), "full", out=folder / "runs")


def test_it_holds_what_the_report_shows(run: LabRun) -> None:
    page = read_page(run.folder / FILE)
    assert (page.step, page.slug, page.claims.title) == ("99", "tiny", "Tiny")
    assert "The *value* is 3 and $x^2$ is a formula." in page.lesson
    assert [figure.name for figure in page.figures] == ["line"]
    assert page.figures[0].title == "A line"
    assert page.claims.claims == read_claims(run.folder / "claims.json").claims
    assert page.claims.seeds == (0, 1, 2)
    assert page.claims.finished is not None
    assert page.keeps_weights
    # One rendering for both: the report contains the lesson, the figure and the table as the file gives them.
    report = run.report.read_text(encoding="utf-8")
    parts = page_parts(page)
    assert 'class="plot-data">' in parts["lesson"]
    for part in re.findall(
        r'<script type="application/json" class="plot-data">.*?</script>', parts["lesson"]
    ):
        assert part in report
    assert parts["claims"][0]["findings"][0]["ours"] in report


def test_a_finished_run_that_is_reported_again_gets_the_file(tmp_path: Path) -> None:
    calls: list[int] = []
    first = run_lab(tiny_lab(tmp_path, calls=calls), out=tmp_path / "runs")
    (first.folder / FILE).unlink()
    run_lab(tiny_lab(tmp_path, calls=calls), out=tmp_path / "runs")
    assert read_page(first.folder / FILE).slug == "tiny"
    assert calls == [0]


def test_a_report_says_where_the_live_figure_is(tmp_path: Path) -> None:
    lab = tiny_lab(tmp_path)
    lab.lesson.write_text("Before.\n\n[[live]]\n\nAfter.", encoding="utf-8")
    run = run_lab(lab, out=tmp_path / "runs")
    report = run.report.read_text(encoding="utf-8")
    assert "In the web lab there is a figure here that you can change" in report
    assert "[[live]]" not in report
    assert "[[live]]" in read_page(run.folder / FILE).lesson


@pytest.mark.parametrize("seed", range(2))
def test_damage_is_noticed(run: LabRun, seed: int, tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        (folder / FILE).write_bytes((run.folder / FILE).read_bytes())

    def read(folder: Path) -> object:
        with naming(FILE):
            page = read_page(folder / FILE)
            page_parts(page)
        # What could be read can be shown.
        _check_shown(_page_of(folder / FILE, tmp_path))
        return page.claims.count("pass")

    assert assert_damage_is_noticed(Kind(write, read), tmp_path, seed, amount=10) > 10


def test_text_from_a_file_stays_text(run: LabRun, tmp_path: Path) -> None:
    content = page_content(run)
    spoiled = _with_attack(content)
    spoiled["claims"]["lab"] |= {"step": "99", "slug": "tiny"}
    spoiled["lesson"] = (
        f"{ATTACK}\n\n[[figure line]]\n\n[x](javascript:alert(1)) ![y](http://elsewhere.example/z)"
    )
    file = tmp_path / FILE
    file.write_text(json.dumps(spoiled), encoding="utf-8")
    html = _page_of(file, tmp_path)
    assert html.count("alert(2)") > 10
    assert "cannot be shown" not in html
    found = _check_shown(html)
    assert "img" not in found.tags
    # A link is only followed by a reader who clicks it; what a page loads is its own.
    assert not [value for name, value in found.attributes if "javascript:" in value]
    assert not [value for name, value in found.attributes if name == "src" and "://" in value]
    assert "49" not in found.text


@pytest.mark.parametrize(
    "formula",
    [
        r"\text{<img src=x onerror=alert(1)>}",
        r"\text{<script>alert(1)</script>}",
        r"\text{<!--><img src=x onerror=alert(1)>-->}",
        r"\text{<mtext onclick='alert(1)'>x</mtext>}",
        r"\text{<meta http-equiv='refresh' content='0;url=http://elsewhere.example'/>}",
        r"\href{javascript:alert(1)}{x}",
        r"\style{background:url(http://elsewhere.example)}{x}",
    ],
)
def test_a_formula_cannot_hold_html(run: LabRun, formula: str) -> None:
    content = page_content(run) | {"lesson": f"${formula}$"}
    try:
        html = str(page_parts(parse_page(content, Path("page.json")))["lesson"])
    except ValueError as error:
        assert "cannot read the formula" in str(error)
    else:
        found = _Tags(html)
        assert {"img", "script", "meta"}.isdisjoint(found.tags)
        assert not [
            name for name, _ in found.attributes if name in ("href", "src", "style") or name[:2] == "on"
        ]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("figures", 0, "name"), "a b", "letters, digits"),
        (("figures", 0, "plot", "data", 0, "type"), "scattergeo", "known are bar"),
        (("figures", 0, "plot", "layout", "images"), [{"source": "http://elsewhere.example"}], "load files"),
        (("figures", 0, "plot", "layout", "geo2"), {}, "load files"),
        (("figures", 0, "plot", "layout", "height"), "1px;position:fixed", "positive number"),
        (("figures", 0, "plot", "layout", "meta"), {"max_width": "9px;color:red"}, "positive number"),
        (("figures", 0, "plot", "layout", "meta"), "max_width", "must be an object"),
        (("claims", "claims", 0, "tag"), "Z", "tags are P"),
        (("claims", "claims", 0, "status"), "won", "known are pass"),
        (("facts",), [["a"]], "pairs"),
        (("format",), "mechscope page 2", "does not say format"),
    ],
)
def test_what_a_page_cannot_show_is_refused(
    run: LabRun, path: tuple[Any, ...], value: object, message: str
) -> None:
    content = copy.deepcopy(page_content(run))
    inner: Any = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(ValueError, match=message):
        parse_page(content, Path("page.json"))


def test_a_lesson_with_another_figure_is_an_error(run: LabRun) -> None:
    content = page_content(run) | {"lesson": "[[figure lines]]"}
    with pytest.raises(KeyError, match="did you mean line"):
        page_parts(parse_page(content, Path("page.json")))


def _with_attack(value: Any, key: str = "") -> Any:
    """The same content with ATTACK behind every word that is free text."""
    if isinstance(value, dict):
        return {name: _with_attack(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_attack(inner, key) for inner in value]
    fixed = ("format", "name", "status", "tag", "type", "bdata", "dtype", "shape", "budget", "finished")
    return value + ATTACK if isinstance(value, str) and key not in fixed else value


def _page_of(file: Path, beside: Path) -> str:
    """The step's page with this file as the latest run."""
    runs = beside / "runs"
    folder = runs / ENTRY.folder_name / "full-seed-0"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_bytes(file.read_bytes())
    (folder / "claims.json").write_text("{}", encoding="utf-8")
    return render_site_page(SITE, STEP, is_served=True, runs=runs)


def _check_shown(html: str) -> _Tags:
    """A page has the scripts of its frame, the data of its figures, and no others."""
    found = _Tags(html)
    figures = html.count('class="plot-data"')
    assert found.tags.count("script") == figures + 6
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    return found


class _Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        if not data.startswith(("{", "[")):
            self.text += data


def test_the_file_has_no_numbers_that_json_lacks(run: LabRun) -> None:
    text = (run.folder / FILE).read_text(encoding="utf-8")
    assert "NaN" not in text
    assert json.loads(text)["format"] == "mechscope page 1"
