"""The report is one page that fetches nothing, and says what was found, on what, and what not."""

from __future__ import annotations

import dataclasses
import html as html_text
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mechscope.glossary.entry import find_entry
from mechscope.labs import registry, render_report, run_lab
from mechscope.labs.lab import LabFigure, Outcome
from mechscope.pages.figures import figure_html
from mechscope.pages.markdown import figures_placed, render_lesson, to_mathml
from mechscope.pages.text_template import fill_text
from mechscope.viz.panels import heatmap_panels
from tests.labs.tiny_lab import CLAIMS, tiny_lab

FETCHING = {"src", "href", "srcset", "poster", "action"}


class Page(HTMLParser):
    """What a browser would see of a page: its addresses, its text, and how often each tag opens and closes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.skipping = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in FETCHING]
        if tag not in ("meta", "link", "br", "hr", "img"):
            self.open.append(tag)
        if tag in ("script", "style"):
            self.skipping = tag

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self.skipping = ""

    def handle_data(self, data: str) -> None:
        if not self.skipping:
            self.words.append(data)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    run = run_lab(tiny_lab(folder, value=3.0), "full", out=folder / "runs")
    return run.report.read_text(encoding="utf-8")


def test_it_is_whole_and_fetches_nothing(report: str) -> None:
    page = Page(report)
    assert page.open == []
    assert set(page.addresses) == {"#claims", "#ran", "data:,", "../../index.html", "figures/line.json"}
    assert "http-equiv" not in report[:3000]
    styles = re.search(r"<style>(.*?)</style>", report, re.DOTALL)
    assert styles
    assert "url(" not in styles[1]
    assert "@import" not in styles[1]


def test_plotly_is_inside_once(report: str) -> None:
    assert report.count("plotly.js v") == 1


def test_it_says_what_was_found_on_what(report: str) -> None:
    words = " ".join(" ".join(Page(report).words).split())
    for expected in (
        "The value is 3",
        "9.1 The value is 1.",
        "9.2 It needs <b>stars</b> & more.",
        "there are no stars",
        "wanted 0.9 to 1.1",
        "✗ fail",
        "– not run",
        "seeds 0, 1, 2",
        "1 not reproduced",
        "mechscope run tiny --budget full --seed 0",
        "Look for <the> line.",
        "What this does not show",
        "our own yardstick",
    ):
        assert expected in words.replace("\u00a0", " "), expected


def test_figures_can_be_drawn_from_the_page_alone(report: str) -> None:
    (data,) = re.findall(r'<script type="application/json" class="plot-data">(.*?)</script>', report)
    figure = json.loads(data)
    assert figure["data"][0]["type"] == "scatter"
    assert "template" not in figure["layout"]
    assert "title" not in figure["layout"]
    templates = json.loads(re.search(r'id="plot-themes">(.*?)</script>', report)[1])
    assert templates["light"]["layout"]["font"]["color"] != templates["dark"]["layout"]["font"]["color"]


def test_a_figure_that_the_lesson_does_not_place_is_still_shown(tmp_path: Path) -> None:
    lab = tiny_lab(tmp_path)
    lab.lesson.write_text("No figure placed.", encoding="utf-8")
    html = render_report(run_lab(lab, out=tmp_path / "runs"))
    assert html.count('id="figure-line"') == 1


def test_a_term_of_the_glossary_shows_its_line_where_it_first_appears(tmp_path: Path) -> None:
    lab = tiny_lab(tmp_path)
    lab.lesson.write_text("The logit lens, and the logit lens again.", encoding="utf-8")
    html = render_report(run_lab(lab, out=tmp_path / "runs"))
    (line,) = re.findall(r'<span class="glossary-term"[^>]*title="([^"]+)">logit lens</span>', html)
    assert html_text.unescape(line) == find_entry("logit lens").line
    assert '<a class="glossary-term"' not in html


def test_a_lesson_cannot_ask_for_what_was_not_measured(tmp_path: Path) -> None:
    lab = tiny_lab(tmp_path)
    lab.lesson.write_text("{{ vlaue }}", encoding="utf-8")
    with pytest.raises(KeyError, match="did you mean value"):
        run_lab(lab, out=tmp_path / "runs")
    lab.lesson.write_text("[[figure lines]]", encoding="utf-8")
    with pytest.raises(KeyError, match="did you mean line"):
        run_lab(lab, out=tmp_path / "runs")


def test_a_lesson_reads_measures_facts_and_measures_with_any_name() -> None:
    @dataclasses.dataclass(frozen=True)
    class Facts:
        data: str = "digits"

    outcome = Outcome({0: {"accuracy": 92.5, "shapes_1/2": 7.0}, 1: {"accuracy": 1.0}}, (), facts=Facts())
    text = "{{ accuracy | percent }} of {{ data }}, {{ measures['shapes_1/2'] | whole }} pairs"
    assert fill_text(text, outcome.lesson_values(0)) == "92\u00a0% of digits, 7 pairs"
    with pytest.raises(ValueError, match=r"\['data'\] are measures and facts at once"):
        dataclasses.replace(outcome, measures={0: {"data": 1.0}}).lesson_values(0)


def test_formulas_become_mathml() -> None:
    html = render_lesson("Costs $5 and $6, but $x_1$ and\n\n$$\\sum_i x_i$$\n\n`$y$` and \\$z\\$.", {}, {})
    assert html.count("<math") == 2
    assert 'display="block"' in html
    assert "Costs $5 and $6" in html
    assert "<code>$y$</code>" in html
    assert "$z$" in html


@pytest.mark.parametrize(
    ("latex", "message"), [("x_{", "MissingSuper"), (r"\frac{1}{\fou}", r"no command \\fou")]
)
def test_a_formula_that_cannot_be_read_is_named(latex: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"cannot read the formula .*{message}"):
        to_mathml(latex)


def test_html_in_a_lesson_stays_text() -> None:
    assert "<script>" not in render_lesson("<script>alert(1)</script>", {}, {})


def test_figures_are_found_where_they_stand_alone() -> None:
    assert figures_placed("[[figure a]]\n\ntext [[figure b]] text\n\n[[figure c-d]]\n") == ["a", "c-d"]


def test_titles_beside_several_maps_have_room() -> None:
    panels = heatmap_panels(
        {"one": [[0.0]], "two": [[1.0]]}, title="Two maps", x_title="head", y_title="layer", unit="share"
    )
    drawn = figure_html(LabFigure("maps", panels, "Look."))
    layout = json.loads(re.findall(r'class="plot-data">(.*?)</script>', drawn, re.S)[0])["layout"]
    outside = [note for note in layout["annotations"] if note["text"] in ("one", "two", "head", "layer")]
    assert len(outside) == 4
    # Their distance from the plot, and their letters.
    assert layout["margin"]["b"] >= 30 + 14
    assert layout["margin"]["l"] >= 26 + 8 + 14
    assert layout["margin"]["t"] >= 16 + 14


def test_its_links_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = tuple(
        registry.LabEntry(step, slug, "nowhere", f"idea {step}")
        for step, slug in (("97", "far"), ("98", "before"), ("99", "tiny"), ("100", "after"))
    )
    monkeypatch.setattr(registry, "LABS", entries)
    there = tmp_path / "98-before" / "quick-seed-0" / "report.html"
    there.parent.mkdir(parents=True)
    there.write_text("")
    run = run_lab(tiny_lab(tmp_path), out=tmp_path)
    html = run.report.read_text(encoding="utf-8")
    links = [link for link in Page(html).addresses if link[0] == "." or link.startswith("figures")]
    # The step after has no report yet; the index says how to make one.
    assert "../../98-before/quick-seed-0/report.html" in links
    assert "../../index.html#step-100" in links
    assert all((run.folder / link.partition("#")[0]).is_file() for link in links)
    assert 'id="step-100"' in (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "← Step 98" in html
    assert "Step 100 →" in html
    assert "97-far" not in html


def test_without_javascript_no_box_is_empty(report: str) -> None:
    (without,) = re.findall(r"<noscript><p.*?</noscript>", report)
    assert "needs JavaScript. Its numbers" in without
    assert re.search(r"<head>.*<noscript><style>[^<]*\.plot[^<]*display: none", report, re.S)


def test_a_figure_is_described_by_its_caption(report: str) -> None:
    (described,) = re.findall(r'aria-describedby="([^"]+)"', report)
    assert f'<figcaption id="{described}">Look for &lt;the&gt; line.<' in report


def test_what_was_not_measured_is_no_number_and_reasons_show_code(tmp_path: Path) -> None:
    lab = tiny_lab(tmp_path, value=float("nan"))
    (condition,) = CLAIMS[0].conditions
    below = dataclasses.replace(condition, low=-0.5, high=0.5, unit="%")
    lab = dataclasses.replace(
        lab,
        claims=(dataclasses.replace(CLAIMS[0], conditions=(below,)), CLAIMS[1]),
        experiment=lambda workspace: dataclasses.replace(
            tiny_lab(tmp_path, float("nan")).experiment(workspace),
            not_run={"stars": "set `A<B`"},
        ),
        inputs=lambda: {"GPT-2 small": "as `gpt2`"},
    )
    html = run_lab(lab, out=tmp_path / "runs").report.read_text(encoding="utf-8").replace("\u00a0", " ")
    assert "<b>not a number</b>" in html
    assert "wanted −0.5 to 0.5 %" in html
    assert "is</em> not a number and" in html or "is not a number and" in html
    assert "set <code>A&lt;B</code>" in html
    assert "<dt>GPT-2 small</dt><dd>as <code>gpt2</code></dd>" in html
