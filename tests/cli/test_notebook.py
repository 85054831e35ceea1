"""`mechscope notebook`."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from mechscope.cli.main import main
from mechscope.labs import LABS

NAME = "03-induction.ipynb"


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(("notebook", *arguments))
    return int(stopped.value.code or 0)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("step", ["3", "03", "induction", "03-induction"])
def test_one_step_goes_to_this_folder(step: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(step) == 0
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    out = capsys.readouterr().out
    assert out.startswith(f"{NAME}\nOpen it in VS Code, or with ")
    assert f"`jupyter lab {NAME}`" in out


def test_all_steps_go_to_a_folder_that_is_made(tmp_path: Path) -> None:
    assert run("all", "--out", "my notebooks") == 0
    found = sorted(path.name for path in (tmp_path / "my notebooks").iterdir())
    assert found == [f"{entry.folder_name}.ipynb" for entry in LABS]


def test_a_file_of_any_name_and_the_full_budget(tmp_path: Path) -> None:
    assert run("induction", "--out", "deep/mine.ipynb", "--budget", "full") == 0
    assert 'BUDGET = \\"full\\"' in (tmp_path / "deep" / "mine.ipynb").read_text(encoding="utf-8")


def test_an_untouched_notebook_is_replaced(tmp_path: Path) -> None:
    assert run("induction", "--budget", "full") == 0
    assert run("induction") == 0
    assert 'BUDGET = \\"quick\\"' in (tmp_path / NAME).read_text(encoding="utf-8")


def test_an_edited_notebook_is_kept_unless_forced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("induction")
    content = json.loads((tmp_path / NAME).read_text(encoding="utf-8"))
    content["cells"][0]["source"].append("mine")
    mine = json.dumps(content)
    (tmp_path / NAME).write_text(mine, encoding="utf-8")
    assert run("mnist-templates", "induction") == 2
    assert f"{NAME} was edited or run" in (error := capsys.readouterr().err)
    assert "--force" in error
    assert "--out" in error
    assert (tmp_path / NAME).read_text(encoding="utf-8") == mine
    assert not (tmp_path / "00-mnist-templates.ipynb").exists(), "all or none"
    assert run("induction", "--force") == 0
    assert (tmp_path / NAME).read_text(encoding="utf-8") != mine


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "name the steps"),
        (("inductoin",), "did you mean induction?"),
        (("3", "--out", "notes.txt"), "ends with .ipynb"),
        (("all", "--out", "one.ipynb"), "one file, one.ipynb, for 6 notebooks"),
        (("3", "--out", ""), "--out is empty"),
        (("3", "--out", "taken"), "taken is a file"),
    ],
)
def test_mistakes(
    arguments: tuple[str, ...], problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("mine", encoding="utf-8")
    assert run(*arguments) == 2
    assert problem in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_without_jupyter_it_is_written_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    hidden = ("ipykernel", "jupyterlab", "nbformat")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name in hidden else find(name, *rest)
    )
    assert run("induction") == 0
    assert "pip install 'mechscope[notebook]' jupyterlab, then `jupyter lab" in capsys.readouterr().out
