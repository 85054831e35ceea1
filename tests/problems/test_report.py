"""The report: notes, numbers and figures on one page, everything escaped."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest

from mechscope.problems.listing import find_problem
from mechscope.problems.report import report_page
from mechscope.problems.started import read_started, start
from mechscope.problems.starter import ship_measurement, shipped_measurement

DAY = datetime.date(2026, 12, 1)


def worked_on(catalogue: Path, slug: str, notes: str, folder: Path) -> Path:
    problem = find_problem(slug)
    ship_measurement(problem)
    start(problem, folder, DAY)
    (folder / "baseline.json").write_bytes((problem.folder / "baseline.json").read_bytes())
    (folder / "notes.md").write_text(notes, encoding="utf-8")
    return folder


def test_a_page_says_what_was_found_and_what_is_missing(catalogue: Path, tmp_path: Path) -> None:
    notes = "## Prediction\nIt falls, $x^2$.\n## Result\nIt is <b>2</b> <script>alert(1)</script>.\n## Mine\nAside."
    folder = worked_on(catalogue, "early-a", notes, tmp_path / "work")
    page = report_page([read_started(folder)], DAY)
    assert "<h1>Are dead neurons revived?</h1>" in page
    assert "Open problems · 1 December 2026" in page
    assert "Not finished: nothing is written yet below Red team and Next step in the notes." in page
    assert "Training dynamics · rated A (a weekend)" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page and "<script>alert(1)" not in page
    assert "<math" in page and "<h2>Mine</h2>" in page
    assert page.index("It falls,") < page.index("Baseline (seed 0)") < page.index("It is &lt;b&gt;2")
    assert page.count('class="plot-data"') == 1 and "It rises to 5.0 nats." in page
    assert "def starting_point(seed: int = 0) -&gt; StartingPoint:" in page
    assert "has changed since it last ran" not in page
    # What the catalogue measured stands beside it.
    assert '<td class="value">2.5</td><td class="value">2.5</td>' in page


def test_several_problems_share_a_page(catalogue: Path, tmp_path: Path) -> None:
    folders = [
        worked_on(catalogue, slug, "## Result\nwords", tmp_path / slug) for slug in ("early-a", "late-b")
    ]
    (folders[1] / "starter.py").write_text("changed = True")
    page = report_page([read_started(folder) for folder in folders], DAY)
    assert "<h1>Work on 2 open problems</h1>" in page
    assert 'href="#problem-2">What is late-b?</a>' in page
    assert 'id="figure-plot-1"' in page and 'id="figure-plot-2"' in page
    assert page.count("starter.py has changed since it last ran") == 1


def test_a_problem_that_has_left_the_catalogue_can_be_reported(catalogue: Path, tmp_path: Path) -> None:
    folder = worked_on(catalogue, "early-a", "", tmp_path / "work")
    problem = folder / "problem.md"
    problem.write_text(problem.read_text().replace("id: early-a", "id: gone"))
    page = report_page([read_started(folder)], DAY)
    assert "<code>gone</code>" in page and "In the catalogue" not in page


def test_hostile_and_damaged_files_are_refused_by_name(catalogue: Path, tmp_path: Path) -> None:
    folder = worked_on(catalogue, "early-a", "## Result\n$\\nonsense$", tmp_path / "work")
    with pytest.raises(ValueError, match=r"notes\.md.*cannot read the formula"):
        report_page([read_started(folder)])
    (folder / "notes.md").write_text("")
    path = folder / "baseline.json"
    content = json.loads(path.read_text())
    content["figure"]["title"] = "</script><script>alert(1)</script>"
    path.write_text(json.dumps(content))
    assert "<script>alert(1)" not in report_page([read_started(folder)])
    content["figure"]["plot"]["layout"]["images"] = [{"source": "https://example.com/a.png"}]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"baseline\.json.*'images' in its layout"):
        report_page([read_started(folder)])


def test_the_catalogue_is_untouched(catalogue: Path, tmp_path: Path) -> None:
    worked_on(catalogue, "early-a", "", tmp_path / "work")
    found = shipped_measurement(find_problem("early-a"))
    assert found is not None and found.baseline == {"loss (nats)": 2.5}
