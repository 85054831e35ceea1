"""The problems have no mistakes, and the lint finds each kind of mistake."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mechscope.problems import lint
from mechscope.problems.listing import all_problems
from mechscope.problems.problem import HEADINGS
from mechscope.problems.starter import ship_measurement
from tests.problems.made import STARTER, made_problem

WORDS = " ".join(f"word{number}" for number in range(40))


def test_the_catalogue_has_no_mistakes() -> None:
    assert lint.mistakes() == []
    assert [
        mistake for problem in all_problems().values() for mistake in lint.starter_mistakes(problem)
    ] == []


def text_with(**parts: str) -> str:
    """A text without mistakes, but for the named part, such as the_baseline."""
    texts = {heading: f"{heading} {WORDS}" for heading in HEADINGS}
    texts["What is known"] += " (Doe et al. 2020)"
    texts["First steps"] = "1. One.\n2. Two.\n3. Three."
    texts |= {
        heading: parts[key] for heading in HEADINGS if (key := heading.lower().replace(" ", "_")) in parts
    }
    return "\n\n".join(f"## {heading}\n{part}" for heading, part in texts.items())


@pytest.mark.parametrize(
    ("values", "mistake"),
    [
        ({}, None),
        ({"title": "What it is"}, "one: the title is no question: What it is"),
        ({"text": text_with(the_question="Few.")}, "one has 143 words; expected 150 to 350."),
        ({"text": text_with(the_question="")}, "one: nothing stands below “The question”."),
        ({"text": text_with(first_steps=f"1. One.\n2. Two. {WORDS}")}, "2 numbered steps; expected 3 to 5."),
        ({"text": text_with(the_baseline=f"It is 3.25. {WORDS}")}, "“The baseline” has the number 3.25;"),
        ({"text": text_with(the_question=rf"$\nonsense$ {WORDS}")}, "cannot read the formula"),
        ({"text": text_with(what_is_known=WORDS)}, "“What is known” cites nothing"),
        ({"text": text_with(what_is_known=WORDS)}, "no sentence cites the source 'Doe et al. (2020)"),
        ({"text": text_with(the_question=f"{WORDS} What is QXZ?")}, "one uses QXZ, which no entry explains."),
        ({"sources": "[]"}, "one cites Doe et al. (2020), which sources do not list."),
        ({"unit": '"06"'}, "one: there is no unit '06'; units are P"),
        ({"glossary": "[groking]"}, "one: the glossary has no entry groking. Did you mean grokking?"),
        ({"after": "[oter]"}, "one: after lists oter, which is no problem. Did you mean other?"),
        ({"after": "[one]"}, "one has to be done before itself"),
        ({"after": "[other]"}, "one has to be done before itself"),
        ({"models": "[groking-p113]"}, "no bundled model 'groking-p113'. Did you mean grokking-p113?"),
        ({"title": "What is other?"}, "one: another problem has the same title."),
    ],
)
def test_each_kind_of_mistake_is_found(tmp_path: Path, values: dict[str, str], mistake: str | None) -> None:
    after = "[one]" if values.get("after") == "[other]" else "[]"
    other = made_problem(tmp_path, "other", after=after)
    found = lint.mistakes({"one": made_problem(tmp_path, "one", **values), "other": other})
    if mistake is None:
        assert found == []
    else:
        assert any(mistake in each for each in found), found


def test_prose_that_repeats_another_problem_or_an_entry_is_found(tmp_path: Path) -> None:
    one, other = (made_problem(tmp_path, slug, text=text_with()) for slug in ("one", "other"))
    assert [each for each in lint.mistakes({"one": one, "other": other}) if "other repeats one:" in each]
    entry = lint.all_entries()["grokking"]
    copied = re.sub(r"^##.*$", "", entry.text, flags=re.MULTILINE)
    copy = made_problem(tmp_path, "copy", text=text_with(the_question=copied))
    assert [each for each in lint.mistakes({"copy": copy}) if "copy repeats the entry grokking:" in each]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It grows (Doe 2020).", {("Doe", "2020")}),
        (
            "It grows (Doe et al., 2020; Roe and Poe 2021a, section 3).",
            {("Doe et al.", "2020"), ("Roe and Poe", "2021a")},
        ),
        ("Doe, Roe and Poe (2020) saw it.", {("Doe, Roe and Poe", "2020")}),
        ("Over a line's\nend (Doe et\nal. 2020).", {("Doe et al.", "2020")}),
        ("Not these (by 2026), (see 12) or (GPT-2).", set()),
    ],
)
def test_citations(text: str, found: set[tuple[str, str]]) -> None:
    assert lint.citations(text) == found


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        (("", ""), None),
        ((STARTER, ""), "has no starter.py"),
        (('"""Measure one number."""', ""), "begins with a sentence"),
        (("def starting_point", "def start"), "has no function starting_point(seed)"),
        (("run_starter(starting_point)", "pass"), "does not end with run_starter"),
        (("2.5", "2.6"), "missing or older than the starter"),
        (("import numpy as np\n", "import numpy as np\n" * 80), "lines; expected 20 to 80"),
    ],
)
def test_mistakes_in_starters(tmp_path: Path, change: tuple[str, str], mistake: str | None) -> None:
    problem = made_problem(tmp_path, "one")
    ship_measurement(problem)
    changed = STARTER.replace(*change)
    problem.starter.write_text(changed, encoding="utf-8")
    if not changed:
        problem.starter.unlink()
    found = list(lint.starter_mistakes(problem))
    if mistake is None:
        assert found == []
    else:
        assert any(mistake in each for each in found), found
