"""Unit 05: the figure through the learner's functions, and the numbers of the lesson."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from mechscope.course.checking import references_of
from mechscope.course.unit import find_unit
from mechscope.course.units.sparse_autoencoders import figure, reference


def _references() -> SimpleNamespace:
    return SimpleNamespace(**references_of(find_unit("05")))


@pytest.mark.parametrize("seed", [0, 3])
def test_the_figures_dictionary_finds_the_true_directions(seed: int) -> None:
    drawn = figure.draw(_references(), seed)
    assert drawn.is_reproduced
    assert drawn.figure.to_dict()["data"][0]["y"][0] < 0.7
    assert f"{figure.BORN_DEAD} entries were dead" in drawn.caption


def test_the_figure_notices_a_decoder_that_is_never_trained() -> None:
    functions = _references()
    functions.decoder_step = lambda W_dec, gradient, learning_rate: W_dec
    assert not figure.draw(functions).is_reproduced


def test_the_lessons_code_prints_the_lessons_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    text = find_unit("05").lesson.read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(code, dict(vars(reference)))
    printed = capsys.readouterr().out
    l0, fvu, recovered = (float(number) for number in re.findall(r"[\d.]+", printed))
    quoted = re.search(
        r"It prints ([\d.]+) active features, ([\d.]+) % unexplained and ([\d.]+) % recovered", text
    )
    assert quoted is not None
    assert [l0, fvu, recovered] == pytest.approx([float(number) for number in quoted.groups()], abs=0.2)
