"""Started folders: what `start` writes, what is read again, and notes."""

from __future__ import annotations

import datetime
import errno
from pathlib import Path

import pytest

from mechscope.problems import started
from mechscope.problems.notes import new_notes, prompts, read_notes
from mechscope.problems.problem import Problem
from mechscope.problems.started import read_started, start, started_folders
from mechscope.problems.starter import ship_measurement
from mechscope.storage import files
from tests.problems.made import made_problem

DAY = datetime.date(2026, 12, 1)


@pytest.fixture
def problem(tmp_path: Path) -> Problem:
    return made_problem(tmp_path / "catalogue", "one")


def test_a_folder_has_the_starter_the_problem_and_notes(tmp_path: Path, problem: Problem) -> None:
    folder = start(problem, tmp_path / "new" / "work", DAY)
    assert sorted(path.name for path in folder.iterdir()) == ["notes.md", "problem.md", "starter.py"]
    assert (folder / "starter.py").read_text() == problem.starter.read_text()
    notes = (folder / "notes.md").read_text()
    assert notes.startswith("# Notes: What is one?\n\nStarted on 1 December 2026.")
    assert list(prompts()) == ["Prediction", "Result", "Red team", "Next step"]
    assert all(f"## {heading}\n{question}\n" in notes for heading, question in prompts().items())
    with pytest.raises(FileExistsError, match="work exists already, and nothing in it was changed"):
        start(problem, folder)


def test_a_failure_leaves_nothing_behind(
    tmp_path: Path, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: str) -> Path:
        if path.name == "notes.md":
            raise files.NotKeptError(path, OSError(errno.ENOSPC, "No space left on device"))
        return files.write_atomically(path, content)

    monkeypatch.setattr(started, "write_atomically", full)
    with pytest.raises(OSError, match="No space left"):
        start(problem, tmp_path / "work" / "one")
    assert not list((tmp_path / "work").iterdir())


@pytest.mark.parametrize("name", ["file", "link"])
def test_nothing_is_overwritten(tmp_path: Path, problem: Problem, name: str) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError, match="choose another name with --folder"):
        start(problem, tmp_path / name)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_started_folder_is_read_again(tmp_path: Path, problem: Problem) -> None:
    folder = start(problem, tmp_path / "any-name")
    measure_in(folder, problem)
    with (folder / "notes.md").open("a") as notes:
        notes.write("\nRun it on two seeds.\n\n## Aside\n```\n## no heading\n```\n")
    found = read_started(folder)
    assert (found.problem.slug, found.problem.area, found.problem.text) == ("one", "training", problem.text)
    assert found.measurement.baseline == {"loss (nats)": 2.5} and found.is_current
    assert found.notes.parts["Next step"] == "Run it on two seeds."
    assert found.notes.parts["Aside"] == "```\n## no heading\n```"
    assert found.notes.empty == ["Prediction", "Result", "Red team"]
    (folder / "starter.py").write_text("pass")
    assert not read_started(folder).is_current


def measure_in(folder: Path, problem: Problem) -> None:
    """What running the folder's starter writes, without a process."""
    ship_measurement(problem)
    (problem.folder / "baseline.json").rename(folder / "baseline.json")


def test_notes_begin_empty() -> None:
    notes = read_notes(new_notes("T", DAY))
    assert notes.empty == list(prompts())
    assert notes.unfinished == "nothing is written yet below Prediction, Result, Red team and Next step"
    # A reader's own quotation stays.
    assert read_notes("## Result\n> I said so.\n## Red team\nx").parts["Result"] == "> I said so."
    full = "\n".join(f"## {heading}\nwords" for heading in prompts())
    assert read_notes(full).unfinished == ""


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("problem.md", "has no problem.md: it was not made by `mechscope problems start`"),
        ("starter.py", "has no starter.py. `mechscope problems start one --folder NEW` makes a fresh copy"),
        ("baseline.json", "because its starter has not run yet: python .*starter.py"),
        ("notes.md", "has no notes.md. Write your notes"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, problem: Problem, gone: str, message: str) -> None:
    folder = start(problem, tmp_path / "work")
    measure_in(folder, problem)
    (folder / gone).unlink()
    with pytest.raises(FileNotFoundError, match=message):
        read_started(folder)


def test_started_folders_are_found(tmp_path: Path, problem: Problem) -> None:
    here = tmp_path / "here"
    for name in ("b", "a"):
        start(problem, here / name)
    (here / "other").mkdir()
    assert started_folders(here) == [here / "a", here / "b"]
    assert started_folders(here / "a") == [here / "a"]
    assert not [path for path in here.iterdir() if files.UNFINISHED.fullmatch(path.name)]
