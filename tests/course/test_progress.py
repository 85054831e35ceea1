"""Progress survives what happens to files."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mechscope.course.progress import ExerciseState, Progress
from mechscope.course.result import CheckResult


def result(status: str = "passed", exercise: str = "00.evidence") -> CheckResult:
    return CheckResult(exercise, status, 3, 0.5)  # type: ignore[arg-type]


def test_what_was_recorded_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "progress.sqlite"
    progress = Progress(path)
    assert progress.states() == {}
    assert not path.exists()
    progress.record(result("failed"), "aa")
    progress.record(result(), "bb")
    progress.record_hint("00.evidence", 2)
    progress.skip("00.match")
    assert Progress(path).states() == {
        "00.evidence": ExerciseState(attempts=2, passed=True, digest="bb", hints=2),
        "00.match": ExerciseState(skipped=True),
    }
    progress.forget("00.evidence")
    assert set(progress.states()) == {"00.match"}
    assert progress.warning == ""


def test_time_counts_from_one_event_to_the_next_without_pauses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress = Progress(tmp_path / "progress.sqlite")
    assert progress.minutes() == {}
    events = [
        (0, "00.evidence"),
        (4, "00.evidence"),
        (10, "00.match"),
        # A pause of an hour is nobody's time.
        (70, "00.match"),
        (75, "00.match"),
    ]
    for minute, exercise in events:
        monkeypatch.setattr("mechscope.course.progress.time.time", lambda minute=minute: 60.0 * minute)
        progress.record(result(exercise=exercise), "aa")
    monkeypatch.setattr("mechscope.course.progress.time.time", lambda: 60.0 * 78)
    progress.record_hint("00.evidence", 1)
    assert progress.minutes() == {"00.evidence": 4 + 3, "00.match": 6 + 5}


def test_the_last_result_is_kept_as_a_whole(tmp_path: Path) -> None:
    progress = Progress(tmp_path / "progress.sqlite")
    progress.record(result("failed"), "aa")
    last = CheckResult("00.evidence", "broken", 4, 0.1, "It fails.", "Why.", "f(x)", 7, "return x", "printed")
    progress.record(last, "bb")
    progress.record(result(exercise="01.best_loss"), "cc")
    (found,) = progress.results("00").values()
    assert (found.result, found.digest) == (last, "bb")
    progress.forget("00.evidence")
    assert progress.results("00") == {}
    assert set(progress.results("01")) == {"01.best_loss"}


def test_progress_of_the_first_format_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "progress.sqlite"
    Progress(path).record(result(), "aa")
    connection = sqlite3.connect(path)
    connection.executescript("DROP TABLE results; PRAGMA user_version = 1;")
    connection.close()
    progress = Progress(path)
    assert progress.states()["00.evidence"].passed
    assert progress.results("00") == {}
    progress.record(result("failed"), "bb")
    assert set(progress.results("00")) == {"00.evidence"}
    assert progress.warning == ""


def test_export_and_import_add_up(tmp_path: Path) -> None:
    one, other = Progress(tmp_path / "a.sqlite"), Progress(tmp_path / "b.sqlite")
    one.record(result(), "aa")
    other.record(result(exercise="00.match"), "bb")
    assert other.import_json(one.to_json()) == 1
    assert other.import_json(one.to_json()) == 0
    assert set(other.states()) == {"00.evidence", "00.match"}


@pytest.mark.parametrize(
    "content",
    [
        [],
        {"mechscope-progress": 99},
        {"mechscope-progress": 1, "skipped": [{"exercise": 5, "at": 1.0}]},
        {"mechscope-progress": 1, "skipped": [{"exercise": "x", "at": 1.0}, {"what": 1}]},
    ],
)
def test_other_files_are_refused_as_a_whole(tmp_path: Path, content: object) -> None:
    progress = Progress(tmp_path / "a.sqlite")
    with pytest.raises(ValueError, match="export"):
        progress.import_json(content)
    assert progress.states() == {}


def test_a_damaged_file_is_kept_aside(tmp_path: Path) -> None:
    path = tmp_path / "progress.sqlite"
    path.write_bytes(b"half a file" * 100)
    progress = Progress(path)
    progress.record(result(), "aa")
    assert "was damaged" in progress.warning
    assert progress.states()["00.evidence"].passed
    (aside,) = tmp_path.glob("progress-damaged-*.sqlite")
    assert aside.read_bytes().startswith(b"half a file")


def test_a_folder_that_cannot_be_written_to_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    progress = Progress(tmp_path / "file" / "progress.sqlite")
    progress.record(result(), "aa")
    assert "could not be kept" in progress.warning
    assert progress.states() == {}


def test_a_newer_format_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "progress.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    progress = Progress(path)
    progress.record(result(), "aa")
    assert "newer mechscope" in progress.warning
    assert list(tmp_path.iterdir()) == [path]


def test_several_writers_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "progress.sqlite"

    def write(number: int) -> None:
        Progress(path).record(result(exercise=f"00.e{number % 4}"), "aa")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(40)))
    assert sum(state.attempts for state in Progress(path).states().values()) == 40
