"""`mechscope course` as a learner types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mechscope.cli.main import main
from mechscope.course.template import replace_function, solution
from mechscope.course.unit import Unit, all_units, find_unit


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MECHSCOPE_COURSE_PROGRESS", str(tmp_path / "progress.sqlite"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def course(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["course", *arguments])
    return int(stopped.value.code or 0)


def write(place: Path, name: str, body: str, unit: str = "P") -> None:
    path = place / "mine" / find_unit(unit).file_name
    path.write_text(replace_function(path.read_text(), name, body))


def test_from_an_empty_folder_to_the_first_exercise(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert course("start", "mine") == 0
    assert "write the function change_basis" in capsys.readouterr().out.replace("\n", " ")

    assert course("check") == 1
    assert "P.change_basis  The same vector in other coordinates: not begun yet" in capsys.readouterr().out

    write(place, "change_basis", "def change_basis(basis, vector):\n    return basis @ vector\n")
    assert course("check", "--seed", "5") == 1
    shown = capsys.readouterr().out
    assert "This goes the other way" in shown
    assert "mechscope course check P.change_basis --seed 5" in shown

    write(place, "change_basis", solution(find_unit("P"), "change_basis"))
    assert course("check") == 0
    shown = capsys.readouterr().out
    assert "✓ P.change_basis" in shown
    assert "Next: P.low_rank" in shown

    assert course("status", "--json") == 0
    assert json.loads(capsys.readouterr().out)["P"]["done"] == 1

    # What has passed is not run again with its unit; exercises that nobody has begun say so.
    assert course("check", "P") == 1
    shown = capsys.readouterr().out
    assert "1 of 21 exercises pass (1 passed earlier and have not changed since)." in shown


def test_hints_come_one_by_one_and_the_solution_after_trying(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    course("start", "mine")
    capsys.readouterr()
    for title in ("A nudge", "The shapes", "Half of it", "Half of it"):
        assert course("hint", "low_rank") == 0
        assert f"{title} · P.low_rank" in capsys.readouterr().out
    assert course("solution", "low_rank") == 2
    assert "you have not tried P.low_rank yet" in capsys.readouterr().err
    assert course("solution", "low_rank", "--now") == 0
    assert "torch.linalg.svd" in capsys.readouterr().out
    assert course("list", "--json", "rank") == 0
    assert json.loads(capsys.readouterr().out)["hints"] == 4


def test_the_learners_own_time_is_shown(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    attempts = [
        {
            "exercise": "P.rotate",
            "at": 60.0 * minute,
            "status": "failed",
            "seconds": 1.0,
            "seed": 1,
            "digest": "",
        }
        for minute in range(0, 81, 16)
    ]
    (place / "old.json").write_text(json.dumps({"mechscope-progress": 1, "attempts": attempts}))
    assert course("import", "old.json") == 0
    assert course("status") == 0
    assert "1 h 20 min" in capsys.readouterr().out
    assert course("list", "rotate") == 0
    assert "1 h 20 min" in capsys.readouterr().out


def test_skip_and_reset(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    course("start", "mine")
    assert course("skip", "P") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"The success criterion of unit P: {find_unit('P').criterion}" in shown
    assert course("check") == 1
    assert "T.layer_norm" in capsys.readouterr().out
    write(place, "rotate", "def rotate(vectors, Q):\n    return vectors\n")
    assert course("reset", "P.rotate") == 0
    assert "raise NotImplementedError" in (place / "mine" / find_unit("P").file_name).read_text()
    assert len(list((place / "mine" / "earlier").iterdir())) == 1
    capsys.readouterr()
    assert course("check") == 1
    assert "P.rotate" in capsys.readouterr().out


def test_notebooks_stand_beside_the_files(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert course("start", "mine") == 0
    shown = capsys.readouterr().out
    assert f"{len(all_units())} notebooks, new" in shown
    name = Path(find_unit("P").file_name).with_suffix(".ipynb").name
    assert f"Or open mine/notebooks/{name}" in shown
    path = place / "mine" / "notebooks" / name
    path.write_text("mine")
    assert course("start", "mine") == 0
    assert f"{name}  yours, left alone" in capsys.readouterr().out
    assert path.read_text() == "mine"
    path.unlink()
    path.parent.rename(place / "elsewhere")
    path.parent.write_text("a file")
    assert course("start", "mine") == 2
    assert "notebooks is a file, and the notebooks of the course go into a folder" in capsys.readouterr().err


def test_progress_can_be_carried_to_another_machine(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    course("skip", "00.match")
    assert course("export", "progress.json") == 0
    monkeypatch.setenv("MECHSCOPE_COURSE_PROGRESS", str(place / "other.sqlite"))
    assert course("import", "progress.json") == 0
    assert "1 new entries." in capsys.readouterr().out
    assert course("status", "--json") == 0
    assert json.loads(capsys.readouterr().out)["00"]["done"] == 1
    (place / "progress.json").write_text("{")
    assert course("import", "progress.json") == 2
    assert "is not JSON" in capsys.readouterr().err


@pytest.mark.parametrize("unit", all_units(), ids=lambda unit: unit.id)
def test_lessons_are_printed(unit: Unit, capsys: pytest.CaptureFixture[str]) -> None:
    assert course("lesson", unit.id) == 0
    shown = capsys.readouterr().out
    assert unit.title in shown
    assert "[[exercise" not in shown
    assert all(exercise.name in shown for exercise in unit.exercises)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("check",), "there is no course folder yet. `mechscope course start DIR` makes one."),
        (("check", "--folder", "nowhere"), "nowhere is not a course folder."),
        (("skip", "00.evidense"), "unit 00 has no exercise 'evidense'. Did you mean evidence?"),
        (("skip", "changebasis"), "Did you mean change_basis"),
        (("lesson", "99"), "there is no unit '99'."),
        (("list", "unheard"), "no exercise has all of these words: unheard."),
    ],
)
def test_errors_say_what_to_do(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert course(*arguments) == 2
    assert words in capsys.readouterr().err


def test_a_folder_that_was_moved_is_named(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    course("start", "mine")
    (place / "mine").rename(place / "moved")
    capsys.readouterr()
    assert course("check") == 2
    assert "If you moved it, name its new place with --folder" in capsys.readouterr().err
    assert course("check", "--folder", "moved") == 1


def test_a_figure_is_written_as_a_page_or_as_json(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    course("start", "mine")
    capsys.readouterr()
    assert course("figure", "03", "--out", "figure.html") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "4.57: how much lower the trained model's loss is" in shown
    assert "Expected: 4.3 to 4.85. Reproduced." in shown
    assert "none of yours that it needs has passed yet" in shown
    assert "Four heads of the second layer" in (place / "figure.html").read_text(encoding="utf-8")
    assert course("figure", "03", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["is_reproduced"]
    assert found["plot"]["data"]
    assert course("figure", "07") == 2
    assert "there is no unit '07'" in capsys.readouterr().err
