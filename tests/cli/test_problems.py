"""`mechscope problems` as a reader types it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mechscope.cli.main import main
from mechscope.problems.listing import all_problems, counts, find_problem
from mechscope.problems.problem import RATINGS
from mechscope.problems.starter import shipped_measurement

ID = "memory-after-grokking"
FAST = "which-heads-does-mini-gelu-2l-need"
"""A problem whose starter runs in a second."""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def problems(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["problems", *arguments])
    return int(stopped.value.code or 0)


@pytest.mark.parametrize("arguments", [[], ["list"]])
def test_all_problems_are_listed_by_area(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert problems(*arguments) == 0
    shown = capsys.readouterr().out
    assert "Training dynamics  training  " in shown
    for problem in all_problems().values():
        assert problem.slug in shown


@pytest.mark.parametrize(
    ("arguments", "fits"),
    [
        (["--rating", "a"], lambda problem: problem.rating == "A"),
        (["--area", "Training dynamics"], lambda problem: problem.area == "training"),
        (["--time", "two-weeks"], lambda problem: problem.rating in "AB"),
        (["--status", "Open"], lambda problem: problem.status == "open"),
        (["--compute", "laptop", "--area", "training"], lambda problem: problem.area == "training"),
    ],
)
def test_filters(arguments: list[str], fits: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert callable(fits)
    assert problems("list", *arguments) == 0
    words = capsys.readouterr().out.split()
    found = {problem.slug for problem in all_problems().values() if problem.slug in words}
    wanted = {problem.slug for problem in all_problems().values() if fits(problem)}
    if "--compute" in arguments:
        wanted = {slug for slug in wanted if all_problems()[slug].compute == "laptop"}
    assert found == wanted and found


def test_words_are_searched_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert problems("list", "mirror", "images", "--rating", "A") == 0
    assert capsys.readouterr().out.split()[:2] == ["A", ID]
    assert problems("list", "qqqqqq", "--rating", "A") == 0
    assert "No problem fits rating A and the words 'qqqqqq'." in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["show", ID], [ID]])
def test_a_problem_is_printed_with_its_baseline(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert problems(*arguments) == 0
    shown = capsys.readouterr().out
    problem = find_problem(ID)
    shipped = shipped_measurement(problem)
    assert shipped is not None
    for words in (problem.title, *problem.parts, *problem.models, *problem.glossary, *shipped.baseline):
        assert words in shown
    assert "##" not in shown
    assert f"mechscope problems start {ID}" in shown


def test_a_problem_is_started_run_and_reported(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert problems("start", FAST, "--folder", "my work") == 0
    assert "mechscope problems report 'my work'" in capsys.readouterr().out
    done = subprocess.run([sys.executable, "my work/starter.py"], capture_output=True, text=True, check=True)
    shipped = shipped_measurement(find_problem(FAST))
    assert shipped is not None and next(iter(shipped.baseline)) in done.stdout
    assert problems("report") == 0
    shown = capsys.readouterr().out
    assert "my work: nothing is written yet below Prediction, Result, Red team and Next step." in shown
    page = (place / "problems-report.html").read_text(encoding="utf-8")
    assert shipped.figure.caption in page
    with (place / "my work" / "starter.py").open("a") as starter:
        starter.write("# changed = 1\n")
    assert problems("report", "my work", "--out", "pages/a.html") == 0
    assert "starter.py has changed since it last ran" in capsys.readouterr().out
    assert (place / "pages" / "a.html").is_file()


def test_counts_are_of_the_catalogue(capsys: pytest.CaptureFixture[str]) -> None:
    assert problems("counts") == 0
    last = capsys.readouterr().out.strip().splitlines()[-1].split()
    by_rating = [sum(row[rating] for row in counts().values()) for rating in RATINGS]
    total = len(all_problems())
    assert last == ["all", *map(str, by_rating), str(total), str(total)]
    page = (Path(__file__).parents[2] / "docs" / "problems.md").read_text(encoding="utf-8")
    a, b, c, d = by_rating
    wanted = f"{total} problems, each with a starter: {a} rated A, {b} rated B, {c} rated C and {d} rated D"
    assert wanted in " ".join(page.split())


def test_reading_needs_no_torch() -> None:
    code = (
        "import sys; from mechscope.cli.main import main\n"
        f"try: main(['problems', 'show', '{ID}'])\n"
        "except SystemExit as stopped: assert not stopped.code\n"
        "assert 'torch' not in sys.modules and 'plotly' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (
            ["lst"],
            "'lst' is neither a problem nor one of list, show, start, report, counts. Did you mean list?",
        ),
        (["memory-after-groking"], f"Did you mean {ID}?"),
        (["show"], "name a problem: mechscope problems show ID"),
        (["show", "memory-after"], f"no problem 'memory-after'. Did you mean {ID}?"),
        (["start", "qqqqqq"], "there is no problem 'qqqqqq'. `mechscope problems` lists all of them."),
        (["start", ID, "--folder", "/dev/null/a"], "/dev/null"),
        (["counts", "all"], "takes no words; found 'all'"),
        (["--rating", "E"], "--rating is one of A, B, C, D; found 'E'"),
        (["--area", "trainign"], "found 'trainign'. Did you mean training?"),
        (["--time", "day"], "--time is one of weekend, two-weeks, months; found 'day'"),
        (["show", ID, "--rating", "A"], "--rating is a filter of `mechscope problems list`"),
        (["list", "--folder", "a"], "--folder is the folder that"),
        (["list", "--out", "a.html"], "--out is the file that"),
        (["report"], "no folder here was made by `mechscope problems start`"),
        (["report", "nowhere"], "there is no folder nowhere"),
        (["report", "/dev"], "/dev has no problem.md: it was not made by"),
    ],
)
def test_mistakes_are_answered_in_one_sentence(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str], place: Path
) -> None:
    assert problems(*arguments) == 2
    assert problem in capsys.readouterr().err
    assert not list(place.iterdir())


def test_an_existing_folder_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / ID).mkdir()
    assert problems("start", ID) == 2
    assert f"{ID} exists already, and nothing in it was changed" in capsys.readouterr().err
    assert not list((place / ID).iterdir())
