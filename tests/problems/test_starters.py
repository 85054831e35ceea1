"""Starters run, and what they measure is what is shipped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mechscope.problems import draw
from mechscope.problems.listing import all_problems, find_problem
from mechscope.problems.measurement import FILE, MOST_BYTES
from mechscope.problems.problem import Problem
from mechscope.problems.starter import ship_measurement, shipped_measurement, starter_of
from tests.problems.made import STARTER, made_problem
from tests.shipped_figures import assert_close, check_alike, check_figure


def check_starter(problem: Problem) -> None:
    shipped = shipped_measurement(problem)
    assert shipped is not None, f"run python -m mechscope.problems.draw {problem.slug}"
    found = starter_of(problem)(shipped.seed)
    assert list(found.baseline) == list(shipped.baseline)
    assert_close(list(found.baseline.values()), list(shipped.baseline.values()))
    check_alike(shipped.figure, found.drawn())


def test_a_starter_measures_what_is_shipped() -> None:
    check_starter(find_problem("which-heads-does-mini-gelu-2l-need"))


@pytest.mark.slow
@pytest.mark.parametrize("problem", all_problems().values(), ids=lambda problem: problem.slug)
def test_every_starter_measures_what_is_shipped(problem: Problem) -> None:
    check_starter(problem)


def test_every_shipped_figure_explains_itself() -> None:
    for problem in all_problems().values():
        shipped = shipped_measurement(problem)
        assert shipped is not None, f"run python -m mechscope.problems.draw {problem.slug}"
        check_figure(problem.slug, shipped.figure)
        assert (problem.folder / FILE).stat().st_size <= MOST_BYTES


def test_a_baseline_is_measured_again_when_its_starter_has_changed(
    catalogue: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert draw.main([]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in shown] == ["tool-c", "bet-d", "early-a", "late-b"]
    assert draw.main([]) == 0
    assert capsys.readouterr().out == ""
    problem = find_problem("early-a")
    problem.starter.write_text(STARTER.replace("2.5", "1.5"), encoding="utf-8")
    assert shipped_measurement(problem) is None
    assert draw.main([]) == 0
    found = shipped_measurement(problem)
    assert found is not None and found.baseline == {"loss (nats)": 1.5}
    # A starter that fails is named, and the others still run.
    problem.starter.write_text(STARTER.replace("2.5", "1 / 0"), encoding="utf-8")
    find_problem("late-b").starter.write_text(STARTER.replace("starting_point", "start"), encoding="utf-8")
    (find_problem("tool-c").folder / FILE).unlink()
    capsys.readouterr()
    assert draw.main([]) == 1
    shown = capsys.readouterr().out
    assert "early-a: ZeroDivisionError" in shown and "defines no function starting_point(seed)" in shown
    assert "tool-c: " in shown


def test_a_large_figure_is_refused(tmp_path: Path) -> None:
    problem = made_problem(tmp_path, "one")
    problem.starter.write_text(STARTER.replace("arange(3)", "arange(9000) / 7"), encoding="utf-8")
    with pytest.raises(ValueError, match=f"at most {MOST_BYTES} keep its page small"):
        ship_measurement(problem)
    assert not (problem.folder / FILE).exists()


def test_a_shipped_file_holds_what_a_run_writes(tmp_path: Path) -> None:
    problem = made_problem(tmp_path, "one")
    ship_measurement(problem, seed=1)
    assert set(json.loads((problem.folder / FILE).read_text())) == {"baseline", "seed", "figure", "starter"}
    found = shipped_measurement(problem)
    assert found is not None and (found.seed, found.baseline) == (1, {"loss (nats)": 3.5})
