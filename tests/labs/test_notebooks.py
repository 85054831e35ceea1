"""Steps as notebooks: complete, valid, and they run from top to bottom in a fresh kernel without a network."""

from __future__ import annotations

import ast
import dataclasses
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest

from mechscope.labs import Lab, all_labs, find_lab, lab_notebook, notebook_lesson, run_lab
from mechscope.labs.notebooks import example_change
from mechscope.labs.run_page import FILE
from mechscope.labs.shipping import names_of_this_machine
from mechscope.pages.lesson_parts import split_lesson
from mechscope.pages.markdown import figures_placed
from mechscope.pages.notebook import is_as_written
from tests.labs.tiny_lab import tiny_lab

nbformat: Any = pytest.importorskip("nbformat", reason="needs mechscope[notebook]")
every_lab = pytest.mark.parametrize("lab", all_labs(), ids=lambda lab: lab.slug)

TINY = """\
from mechscope.labs.superposition import SuperpositionConfig

config = SuperpositionConfig(
    count_starts=1, count_steps=4, count_batch=16, intro_starts=2, small_starts=2, pentagon_starts=2, small_steps=4,
    small_batch=16, boundary_starts=2, boundary_steps=4, boundary_batch=16, grid=3, grid_starts=2, grid_steps=4,
    grid_batch=16, crowd_features=12, crowd_hidden=4, crowd_steps=4, crowd_batch=256,
)
"""
"""A cell that makes step 01 a matter of seconds."""
OFFLINE = """\
import socket

connect = socket.socket.connect


def only_this_machine(self, address):
    assert not isinstance(address, tuple) or address[0] in ("127.0.0.1", "::1"), f"{address} is another machine"
    return connect(self, address)


socket.socket.connect = only_this_machine
"""


def cells_of(text: str) -> list[Any]:
    return nbformat.reads(text, as_version=nbformat.NO_CONVERT).cells


def code_of(lab: Lab) -> list[str]:
    """The blocks of code in a lesson."""
    sections = split_lesson(lab.lesson.read_text(encoding="utf-8"))
    return [part.content for section in sections for part in section.parts if part.kind == "code"]


# What is written ------------------------------------------------------------------------------------


@every_lab
def test_it_is_a_valid_notebook_that_was_not_run(lab: Lab) -> None:
    text = lab_notebook(lab)
    nbformat.validate(nbformat.reads(text, as_version=nbformat.NO_CONVERT))
    assert is_as_written(text)
    assert text == lab_notebook(lab)
    assert list(names_of_this_machine(text)) == []
    for cell in cells_of(text):
        if cell.cell_type == "code" and cell.id != "install":  # which calls pip as only notebooks can
            ast.parse(cell.source)


@every_lab
def test_it_has_the_whole_lesson(lab: Lab) -> None:
    cells = cells_of(lab_notebook(lab))
    lesson = lab.lesson.read_text(encoding="utf-8")
    shown = [
        match[1] for cell in cells if (match := re.fullmatch(r'lesson\.show\("([\w-]+)"\)', cell.source))
    ]
    assert set(shown) <= set(figures_placed(lesson))
    assert len(shown) >= 0.6 * len(figures_placed(lesson)), "most figures are in every run"
    texts = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    headings = re.findall(r"(?m)^## (.+)$", texts)
    assert set(re.findall(r"(?m)^## (.+)$", re.sub(r"(?s)```.*?```", "", lesson))) <= set(headings)
    sources = [cell.source for cell in cells if cell.cell_type == "code"]
    assert len(code_of(lab)) >= 3
    assert [source for source in sources if source in code_of(lab)] == code_of(lab)
    assert not any(mark in source for source in sources for mark in ("{{", "{%", "[["))


@every_lab
def test_the_change_in_the_settings_cell_can_be_made(lab: Lab) -> None:
    for budget, config in lab.configs.items():
        assert f"# config = dataclasses.replace(config, {example_change(config)})" in "\n".join(
            cell.source for cell in cells_of(lab_notebook(lab, budget))
        )
        changed = eval(
            f"dataclasses.replace(config, {example_change(config)})",
            {"dataclasses": dataclasses, "config": config},
        )
        assert changed == config


def test_another_budget() -> None:
    lab = find_lab("induction")
    assert any(cell.source.startswith('BUDGET = "full"') for cell in cells_of(lab_notebook(lab, "full")))
    with pytest.raises(ValueError, match="budget is one of quick, full"):
        lab_notebook(lab, "fast")  # type: ignore[arg-type]


def test_settings_of_another_lab() -> None:
    with pytest.raises(TypeError, match="the settings of induction are a InductionConfig"):
        find_lab("induction").with_config("quick", find_lab("ioi").configs["quick"])


# The numbers in its text -----------------------------------------------------------------------------


def ship(lab: Lab, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a run of a lab be the one that comes with mechscope."""
    run = run_lab(lab, out=folder / "runs")
    (folder / "shipped").mkdir()
    (folder / "shipped" / f"{lab.folder_name}.json").write_bytes((run.folder / FILE).read_bytes())
    monkeypatch.setattr(notebook_lesson, "SHIPPED", folder / "shipped")


def test_the_text_has_the_numbers_of_the_run_that_comes_with_mechscope(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = tiny_lab(tmp_path, value=1.25)
    ship(lab, tmp_path, monkeypatch)
    cells = {cell.id: cell for cell in cells_of(lab_notebook(lab))}
    assert cells["introduction-1"].source == "The *value* is 1.2 and $x^2$ is a formula.".replace(
        "1.2", "1.25"
    )
    assert cells["introduction-1"].cell_type == "markdown"
    assert "a run that comes with mechscope (quick budget, seed 0)" in cells["title"].source
    assert cells["figure-line"].source == 'lesson.show("line")'
    assert cells["introduction-compare"].source == 'lesson.compare("Introduction")'
    assert "what-this-does-not-show-compare" not in cells, "there are no numbers in it"


def test_without_such_a_run_the_text_appears_after_the_experiment(tmp_path: Path) -> None:
    cells = {cell.id: cell for cell in cells_of(lab_notebook(tiny_lab(tmp_path)))}
    assert cells["introduction-text"].source == 'lesson.section("Introduction")'
    assert "once the experiment has been run" in cells["title"].source
    assert cells["what-this-does-not-show-1"].source == "## What this does not show\n\n- Much."


def test_a_section_whose_code_has_changed_since_that_run_is_filled_by_the_reader_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = tiny_lab(tmp_path, value=1.25)
    ship(lab, tmp_path, monkeypatch)
    text = lab.lesson.read_text(encoding="utf-8")
    lab.lesson.write_text(
        text.replace("[[figure line]]", "```python\n1 + 1\n```\n\n[[figure line]]"), encoding="utf-8"
    )
    cells = {cell.id: cell for cell in cells_of(lab_notebook(lab))}
    assert cells["introduction-text"].source == 'lesson.section("Introduction")'
    assert cells["introduction-2"].source == "1 + 1"


# Running them ---------------------------------------------------------------------------------------


@every_lab
def test_the_code_of_a_lesson_runs(lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(go.Figure, "show", lambda self: None)  # opens no browser
    of_the_notebook = ("run", "lesson", "lab", "config", "BUDGET", "SEED", "RUNS")
    names: dict[str, Any] = {"__name__": "notebook", **dict.fromkeys(of_the_notebook)}
    for code in code_of(lab):
        exec(compile(code, lab.slug, "exec"), names)
    assert all(names[name] is None for name in of_the_notebook), "a block overwrites what later cells need"
    assert list(tmp_path.iterdir()) == [], "a block writes files"


def execute(text: str, folder: Path, before_run: Sequence[str] = ()) -> Any:
    """Run a notebook in a fresh kernel that cannot reach other machines; returns it with its outputs."""
    nbclient = pytest.importorskip("nbclient", reason="needs nbclient and ipykernel")
    pytest.importorskip("ipykernel", reason="needs ipykernel")
    notebook = nbformat.reads(text, as_version=4)
    place = next(index for index, cell in enumerate(notebook.cells) if cell.id == "run")
    notebook.cells[place:place] = [nbformat.v4.new_code_cell(source) for source in before_run]
    notebook.cells.insert(0, nbformat.v4.new_code_cell(OFFLINE))
    client = nbclient.NotebookClient(
        notebook, timeout=3000, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute(env={**os.environ, "IPYTHONDIR": str(folder / ".ipython")})
    return notebook


def check_outputs(notebook: Any, folder: Path) -> None:
    cells = {cell.id: cell for cell in notebook.cells}
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    shown = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.id.startswith("figure-")]
    kinds = [[kind for output in cell.outputs for kind in output.get("data", {})] for cell in shown]
    drawn = ["application/vnd.plotly.v1+json" in each for each in kinds]
    assert sum(drawn) > len(drawn) / 2
    assert all("text/html" in each for each in kinds), "a caption, or why there is no figure"
    assert "Claim by claim" not in cells["claims"].outputs[0].data["text/html"]
    assert "<table" in cells["claims"].outputs[0].data["text/html"]
    assert cells["set-up"].outputs == []
    assert [output.output_type for output in cells["run"].outputs] == ["execute_result"], (
        "progress is not kept"
    )
    assert {path.name for path in folder.iterdir()} <= {"runs", ".ipython"}, "something was written elsewhere"
    saved = nbformat.writes(notebook)
    assert "Plotly.newPlot" not in saved, "figures are data, without a script"
    assert len(saved) < 3_000_000


@pytest.mark.slow
def test_a_notebook_runs_from_top_to_bottom(tmp_path: Path) -> None:
    notebook = execute(lab_notebook(find_lab("superposition")), tmp_path, [TINY])
    check_outputs(notebook, tmp_path)
    run = next(cell for cell in notebook.cells if cell.id == "run")
    assert "Step 01, Toy models of superposition (quick budget)" in json.dumps(run.outputs)


@pytest.mark.slow
@every_lab
def test_every_notebook_runs_at_the_quick_budget(lab: Lab, tmp_path: Path) -> None:
    check_outputs(execute(lab_notebook(lab), tmp_path), tmp_path)
