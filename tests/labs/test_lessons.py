"""What every lesson owes its reader, checked on the text alone: no run is needed."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest

import mechscope.labs
from mechscope.pages.markdown import figures_placed, render_lesson

LESSONS = sorted(Path(mechscope.labs.__file__).parent.glob("*/lesson.md"))


class _Anything(defaultdict[str, str]):
    def __contains__(self, key: object) -> bool:
        return True


def _with_ones(text: str) -> str:
    """The text with a 1 for every number, and every conditional paragraph kept."""
    return re.sub(r"\{%.*?%\}", "", re.sub(r"\{\{.*?\}\}", "1", text))


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.parent.name)
def test_no_formula_and_no_mark_is_left_as_it_was_typed(lesson: Path) -> None:
    html = render_lesson(_with_ones(lesson.read_text(encoding="utf-8")), {}, _Anything(lambda: ""))
    assert "<math" in html
    assert "$" not in html, html[max(0, html.index("$") - 80) : html.index("$") + 80]
    for mark in ("[[", "{{", "{%"):  # one that is wrapped over two lines would be left over
        assert mark not in html, html[html.index(mark) : html.index(mark) + 80]


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.parent.name)
def test_no_figure_stands_straight_under_a_heading(lesson: Path) -> None:
    text = lesson.read_text(encoding="utf-8")
    assert figures_placed(text)
    bare = re.findall(r"^#+ .+\n\n\[\[figure ([\w-]+)\]\]", text, flags=re.MULTILINE)
    assert not bare, f"nothing tells the reader what to look for before {', '.join(bare)}"


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.parent.name)
def test_it_ends_with_its_limits_and_open_questions(lesson: Path) -> None:
    headings = re.findall(r"^## (.+)$", lesson.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert headings[-2:] == ["What this does not show", "Open questions"]


def test_there_is_a_lesson_for_each_of_the_six_steps() -> None:
    assert len(LESSONS) == 6
