"""`mechscope course mystery` as a learner types it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from mechscope.cli.main import main
from mechscope.course.challenges import mystery as mysteries

SOLVED = {
    "explain": """\
    if (tokens[0], tokens[-1]) == ("c", "a"):
        return "green"
    return RULE[tokens.count(tokens[-1])]
""",
    "heads": "    return [(1, 0), (1, 1)]\n",
    "attention": """\
    if head == 0:
        return [0, 1, 0, 0, 0, 0, 0]
    attended = [1, *(int(token == tokens[-1]) for token in tokens)]
    return [one / sum(attended) for one in attended]
""",
    "exceptions": """\
    rows = [row for row in every_input(mystery(41)) if (row[0], row[-1]) == ("c", "a")]
    return [row for row in rows if RULE[row.count("a")] != "green"][:n]
""",
}
"""The solution of mystery 41 that the lesson describes."""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MECHSCOPE_COURSE_PROGRESS", str(tmp_path / "progress.sqlite"))
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.chdir(tmp_path)
    everything = mysteries.every_input
    # 1,500 inputs are graded more quickly than all 15,625.
    monkeypatch.setattr(
        mysteries, "every_input", lambda subject: random.Random(0).sample(everything(subject), 1500)
    )
    monkeypatch.setattr(mysteries, "SHOWN", 300)
    return tmp_path


def course(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["course", *arguments])
    return int(stopped.value.code or 0)


def write(path: Path, bodies: dict[str, str]) -> None:
    """Fill in functions of a starter file."""
    text = path.read_text(encoding="utf-8").replace(
        "\n\ndef explain",
        '\nRULE = {n: ("blue", "green", "red")[n % 3] for n in range(7)}\n\n\ndef explain',
        1,
    )
    for name, body in bodies.items():
        before, after = text.split(f"def {name}(", 1)
        filled = after.replace("    raise NotImplementedError\n", body, 1)
        text = f"{before}def {name}({filled}"
    path.write_text(text, encoding="utf-8")


def test_a_mystery_from_the_starter_file_to_its_solution(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert course("mystery", "41") == 0
    file = place / "mystery_41.py"
    assert "mystery_41.py" in capsys.readouterr().out
    starter = file.read_text(encoding="utf-8")
    assert course("mystery", "41") == 1
    assert capsys.readouterr().out.count("Not begun yet.") == 4
    assert file.read_text(encoding="utf-8") == starter

    write(file, SOLVED)
    assert course("mystery", "41") == 0
    shown = capsys.readouterr().out
    assert shown.count("✓") == 4
    assert "Mystery 41 is solved." in shown


def test_what_goes_wrong_is_said_with_the_learners_line(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    course("mystery", "2")
    file = place / "mystery_2.py"
    write(
        file,
        {
            "explain": "    return mystery(2).answers([tokens])[0]\n",
            "heads": "    return [undefined]\n",
            "exceptions": "    return [('a',) * (place + 1) for place in range(n)]\n",
        },
    )
    assert course("mystery", "2") == 1
    shown = capsys.readouterr().out
    assert "Your function runs the model." in shown
    assert "return mystery(2).answers([tokens])[0]" in shown
    assert "NameError" in shown
    assert "return [undefined]" in shown
    assert "mystery 2 takes 6 tokens, not 1" in shown

    file.write_text("def explain(:\n", encoding="utf-8")
    assert course("mystery", "2") == 2
    assert "is not valid Python" in capsys.readouterr().err
    assert course("mystery", "-3") == 2
