"""A step shows the latest own run, or the one that comes with mechscope, and says what is wrong with damaged ones."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from mechscope.labs import find_lab, run_lab
from mechscope.labs.finished_runs import find_runs
from mechscope.labs.overview import overview
from mechscope.labs.registry import LABS, LabEntry
from mechscope.labs.run_page import FILE, read_page
from mechscope.labs.shipping import MOST_BYTES, names_of_this_machine, ship
from mechscope.labs.shown_run import SHIPPED, Choice, choose_run
from mechscope.pages.lesson_parts import split_lesson
from tests.labs.tiny_lab import tiny_lab

ENTRY = LabEntry("99", "tiny", "nowhere", "small")
QUICK, FULL = "99-tiny/quick-seed-0", "99-tiny/full-seed-0"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a shipped run of the tiny lab, and with a quick run and a later full run of it."""
    folder = tmp_path_factory.mktemp("finished")
    run_lab(tiny_lab(folder, value=2.0), "quick", out=folder / "ours")
    ship(folder / "ours", ENTRY, "quick", folder / "shipped")
    run_lab(tiny_lab(folder, value=1.0), "quick", out=folder / "runs")
    run_lab(tiny_lab(folder, value=3.0), "full", out=folder / "runs")
    _date(folder / "runs" / QUICK, "2026-01-01T10:00:00+00:00")
    _date(folder / "runs" / FULL, "2026-01-02T10:00:00+00:00")
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def choose(folder: Path, runs: str | None = "runs") -> Choice:
    return choose_run(None if runs is None else folder / runs, ENTRY, shipped=folder / "shipped")


def value_in(choice: Choice) -> str:
    assert choice.run is not None
    return re.findall(r"The <em>value</em> is (\d)", choice.run.parts["lesson"])[0]


def test_the_latest_run_is_shown(folder: Path) -> None:
    choice = choose(folder)
    assert (value_in(choice), choice.problems) == ("3", ())
    assert choice.run is not None
    assert choice.run.is_own
    _date(folder / "runs" / QUICK, "2026-01-03T10:00:00+00:00")
    assert value_in(choose(folder)) == "1"


def test_a_report_belongs_to_an_own_run_and_may_be_missing(folder: Path) -> None:
    own = choose(folder).run
    assert own is not None
    assert own.report == folder / "runs" / FULL / "report.html"
    assert (folder / "runs" / FULL / "report.html").is_file()
    own.report.unlink()
    for choice in (choose(folder), choose(folder, None)):
        assert choice.run is not None
        assert choice.run.report is None


@pytest.mark.parametrize("runs", [None, "missing", "ours/index.html"])
def test_without_runs_it_is_the_shipped_one(folder: Path, runs: str | None) -> None:
    choice = choose(folder, runs)
    assert value_in(choice) == "2"
    assert choice.run is not None
    assert not choice.run.is_own
    assert bool(choice.problems) == (runs == "ours/index.html")


def test_an_unfinished_run_is_no_problem(folder: Path) -> None:
    (folder / "new" / "99-tiny" / "quick-seed-0" / "parts").mkdir(parents=True)
    (folder / "new" / "99-tiny" / "notes.txt").write_text("mine", encoding="utf-8")
    choice = choose(folder, "new")
    assert (value_in(choice), choice.problems) == ("2", ())


def test_a_damaged_run_is_skipped_with_what_to_do(folder: Path) -> None:
    page = folder / "runs" / FULL / FILE
    page.write_text(page.read_text(encoding="utf-8")[:500], encoding="utf-8")
    before = _contents(folder)
    choice = choose(folder)
    assert value_in(choice) == "1"
    (problem,) = choice.problems
    assert f"Your run `{FULL}` cannot be shown. " in problem
    assert "is not valid JSON" in problem
    assert "run `mechscope run tiny --budget full --seed 0`" in problem
    assert str(folder) not in problem
    (folder / "runs" / QUICK / FILE).unlink()
    choice = choose(folder)
    assert value_in(choice) == "2"
    assert f"`{FULL}` cannot be shown" in choice.problems[0]
    assert f"`{QUICK}` was made by an earlier version" in choice.problems[1]
    del before[Path("runs") / QUICK / FILE]
    assert _contents(folder) == before  # nothing else was changed


def test_a_run_of_another_step_is_not_shown(folder: Path) -> None:
    page = folder / "runs" / FULL / FILE
    content = json.loads(page.read_text(encoding="utf-8"))
    content["claims"]["lab"]["step"] = "03"
    page.write_text(json.dumps(content), encoding="utf-8")
    assert "belongs to step 03 (tiny)" in choose(folder).problems[0]


def test_damaged_verdicts_do_not_hide_the_page(folder: Path) -> None:
    (folder / "runs" / FULL / "claims.json").write_text("{", encoding="utf-8")
    (run, _) = find_runs(folder / "runs", ENTRY)
    assert run.found is None
    assert "not valid JSON" in run.problem
    assert value_in(choose(folder)) == "3"


def test_a_step_without_any_run_has_none(folder: Path) -> None:
    assert choose_run(None, LabEntry("98", "other", "nowhere", ""), shipped=folder / "shipped") == Choice(
        None
    )


def test_the_overview_has_the_latest_run_of_each_step(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mechscope.labs.overview.LABS", (ENTRY, LABS[0]))
    tiny, other = overview(folder / "runs")
    assert tiny.run is not None
    assert tiny.run.found is not None
    assert (tiny.run.found.budget, tiny.seeds) == ("full", "seeds 0, 1, 2")
    assert (other.run, other.problem) == (None, "")
    assert overview(None)[0].run is None
    shutil.rmtree(folder / "runs" / "99-tiny")
    (folder / "runs" / "99-tiny").write_text("", encoding="utf-8")
    assert "cannot be read" in overview(folder / "runs")[0].problem


def test_what_names_this_machine_is_not_shipped(folder: Path) -> None:
    page = folder / "runs" / FULL / FILE
    content = json.loads(page.read_text(encoding="utf-8"))
    content["facts"].append(["Data", "read from /home/somebody/data"])
    page.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match="'/home/s', which is a name or path of this machine"):
        ship(folder / "runs", ENTRY, "full", folder / "shipped")
    assert list(names_of_this_machine(str(Path.cwd())))
    assert not list(
        names_of_this_machine("see blocks/0/hook and 1/2, https://example.org/home/x, a5.h1->a6.h2")
    )


def test_only_finished_small_runs_of_that_step_are_shipped(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileNotFoundError, match=r"mechscope run tiny --budget full --out .*ours"):
        ship(folder / "ours", ENTRY, "full", folder / "shipped")
    shutil.copytree(folder / "runs" / "99-tiny", folder / "runs" / "98-other")
    with pytest.raises(ValueError, match=r"belongs to step 99 \(tiny\)"):
        ship(folder / "runs", LabEntry("98", "other", "nowhere", ""), "full", folder / "shipped")
    monkeypatch.setattr("mechscope.labs.shipping.MOST_BYTES", 100)
    with pytest.raises(ValueError, match="at most 100 are shipped"):
        ship(folder / "runs", ENTRY, "full", folder / "shipped")


@pytest.mark.parametrize("entry", LABS, ids=lambda entry: entry.slug)
def test_every_step_comes_with_a_run(entry: LabEntry) -> None:
    choice = choose_run(None, entry, live="<!--live-->")
    assert choice.problems == ()
    assert choice.run is not None
    assert len(choice.run.page.figures) > 5
    assert choice.run.page.claims.count("pass") > 5
    # The live figure has its place in the lesson.
    assert choice.run.parts["lesson"].count("<!--live-->") == 1
    path = SHIPPED / f"{entry.folder_name}.json"
    assert path.stat().st_size <= MOST_BYTES
    assert not list(names_of_this_machine(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("entry", LABS, ids=lambda entry: entry.slug)
def test_a_shipped_lesson_has_the_code_of_the_lesson(entry: LabEntry) -> None:
    """A lesson whose code has changed needs a new run: `python -m mechscope.labs.shipping`."""

    def code_of(lesson: str) -> list[str]:
        sections = split_lesson(lesson)
        return [part.content for section in sections for part in section.parts if part.kind == "code"]

    lesson = find_lab(entry.slug).lesson.read_text(encoding="utf-8")
    assert len(code_of(lesson)) >= 3
    assert code_of(read_page(SHIPPED / f"{entry.folder_name}.json").lesson) == code_of(lesson)


def test_the_shipped_runs_are_small_together() -> None:
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 2_000_000


def _date(run: Path, when: str) -> None:
    for path in (run / FILE, run / "claims.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        (content["claims"] if path.name == FILE else content)["finished"] = when
        path.write_text(json.dumps(content), encoding="utf-8")


def _contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
