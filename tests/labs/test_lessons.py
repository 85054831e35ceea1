"""What every lesson owes its reader, checked on the text alone: no run is needed."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pytest

import mechscope.labs
from mechscope.labs import Budget, Lab, all_labs
from mechscope.pages.markdown import figures_placed, render_lesson
from mechscope.pages.text_template import fill_text
from tests.labs.lesson_names import names_read, optional_names

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
def test_the_live_figure_has_one_place(lesson: Path) -> None:
    assert lesson.read_text(encoding="utf-8").count("\n\n[[live]]\n\n") == 1


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.parent.name)
def test_it_ends_with_its_limits_and_open_questions(lesson: Path) -> None:
    headings = re.findall(r"^## (.+)$", lesson.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert headings[-2:] == ["What this does not show", "Open questions"]


def _facts(lab: Lab) -> dict[str, Any]:
    """A made-up value for every fact of a lab."""
    facts = getattr(sys.modules[lab.experiment.__module__], "Facts", None)
    return {} if facts is None else {name: _made_up(hint) for name, hint in get_type_hints(facts).items()}


def _made_up(hint: Any) -> Any:
    if isinstance(hint, UnionType):
        return _made_up(get_args(hint)[0])
    if get_origin(hint) is tuple:
        return (_made_up(get_args(hint)[0]),) * 2
    if get_origin(hint) is Mapping:
        return defaultdict(lambda: _made_up(get_args(hint)[1]))
    return {int: 3, float: 1.25, str: "a word"}[hint]


@pytest.mark.parametrize("lab", all_labs(), ids=lambda lab: lab.slug)
def test_it_reads_with_and_without_what_a_budget_may_leave_out(lab: Lab) -> None:
    text = lab.lesson.read_text(encoding="utf-8")
    optional, facts = optional_names(text), _facts(lab)
    measures = dict.fromkeys(names_read(text) - facts.keys() - {"config", "measures"}, 1.25)
    assert optional <= measures.keys(), (
        f"{optional - measures.keys()} are no measures, so they are always there"
    )

    def fill(budget: Budget, left_out: set[str]) -> str:
        present = {name: value for name, value in measures.items() if name not in left_out}
        everything = {
            "measures": defaultdict(lambda: 1.25),
            "config": lab.configs[budget],
            **facts,
            **present,
        }
        return fill_text(text, everything)

    with_all, without = fill("full", set()), fill("quick", optional)
    assert not re.search(r"\{\{|\{%|\[\[number", with_all + without)
    assert (with_all != without) == bool(optional)


def test_there_is_a_lesson_for_each_of_the_six_steps() -> None:
    assert len(LESSONS) == 6
