"""The words of exercises, as pages and notebooks show them."""

from __future__ import annotations

from mechscope.course.exercise_text import exercise_text
from mechscope.course.unit import find_exercises


def paragraphs(name: str) -> tuple[str, ...]:
    return exercise_text(find_exercises(name)[0]).paragraphs


def test_an_item_of_a_list_is_one_line() -> None:
    lines = paragraphs("R.weigh")[1].splitlines()
    assert [line.split(":")[0] for line in lines] == [
        '- "measured"',
        '- "low" and "high"',
        '- "p"',
        '- "verdict"',
    ]
    assert lines[2].endswith("so it is 1 if there are no draws.")


def test_paragraphs_are_one_line_and_code_keeps_its_lines() -> None:
    assert all("\n" not in paragraph for paragraph in paragraphs("00.softmax_gradient"))
    loops = next(paragraph for paragraph in paragraphs("P.paired_dot_products") if "for " in paragraph)
    assert "for p in range(pos):" in [line.strip() for line in loops.splitlines()]
