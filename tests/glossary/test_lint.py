"""The entries have no mistakes, and the lint finds each kind of mistake."""

from __future__ import annotations

from typing import Any

import pytest

from mechscope.glossary import lint
from mechscope.glossary.entry import Entry
from tests.glossary.entries import made_entry


def test_the_entries_have_no_mistakes() -> None:
    assert lint.problems() == []
    assert lint.demo_problems() == []


def test_every_abbreviation_of_a_lesson_or_entry_is_explained() -> None:
    texts = lint.all_texts()
    assert sum("lesson.md" in where for where in texts) >= 17
    assert lint.unexplained(texts) == []


def test_an_abbreviation_that_nobody_explains_is_found() -> None:
    text = "XQZ ranks, `ABC` is code, $QRS$ a formula, and MLPs are explained.\n```\nDEF\n```"
    assert lint.unexplained({"a lesson": text}) == ["a lesson uses XQZ, which no entry explains."]
    assert lint.unexplained({"a lesson": "MLP"}, {}) == ["a lesson uses MLP, which no entry explains."]


def pair(**changes: Any) -> dict[str, Entry]:
    """Two entries that link to each other, the first with a mistake."""
    return {
        "one": made_entry("one", **{"link": "other", **changes}),
        "other": made_entry("other", link="one"),
    }


def test_entries_without_mistakes_pass() -> None:
    assert lint.problems(pair()) == []


RUN = " ".join(f"other{number}" for number in range(12))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"see": ("othr",)}, "one links to othr, which is no entry. Did you mean other?"),
        ({"link": "gone"}, "one links to gone, which is no entry."),
        ({"before": ("other",), "text": "few"}, "one has 9 words; expected 90 to 260."),
        ({"line": "An example of one."}, "one: the line uses the term that it explains: An example of one."),
        (
            {"exercises": ("04.copy_score",)},
            "unit 04 has no exercise 'copy_score'. Did you mean copy_scores?",
        ),
        ({"exercises": ("04",)}, "one: '04' is not the id of one exercise, such as 04.copy_scores."),
        ({"labs": ("06",)}, "one: there is no step '06'; steps are 00 to 05."),
        ({"aliases": ("OTHER",)}, "other and one are both called 'Other'."),
        ({"text": RUN + " x" * 15}, f"other repeats one: “… {RUN} …”"),
        ({"text": "$\\nonsense$ " + "word " * 25}, "cannot read the formula"),
    ],
)
def test_each_kind_of_mistake_is_found(changes: dict[str, Any], problem: str) -> None:
    found = lint.problems(pair(**changes))
    assert any(problem in each for each in found), found


def test_entries_that_nothing_links_to_and_cycles_are_found() -> None:
    entries = pair(before=("other",)) | {"lonely": made_entry("lonely", link="one")}
    entries["other"] = made_entry("other", link="one", before=("one",))
    found = lint.problems(entries)
    assert "lonely: no other entry links to it." in found
    cycles = [each for each in found if "read first" in each]
    assert len(cycles) == 1 and "one → other → one" in cycles[0]


def test_eleven_words_in_common_are_no_repetition() -> None:
    shared = " ".join(f"other{number}" for number in range(1, 12))
    assert not [each for each in lint.problems(pair(text=f"{shared} {'x ' * 14}")) if "repeats" in each]
