"""Front matter: what is read, what YAML makes of the same text, and the errors for authors."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mechscope.pages.front_matter import read_front_matter

PATH = Path("circuits/a.md")
GOOD = """---
term: "QK: what a head looks for"   # quoted because of the colon
aliases: [QK circuit, 'the "where" of a head', Goodhart's law]
line: A matrix that decides where a head looks,
  whatever it copies from there.
before: []
see: [ov-circuit,
  attention-head]
exercises: [03.induction_score]
labs: ["03", "04"]
papers:
  - "Elhage et al. (2021), A mathematical framework: section 2"
  - Olsson et al. (2022), on two
    lines - with a dash  # and a comment
---
## Why you should care
"""


def read(text: str) -> tuple[dict[str, str], dict[str, tuple[str, ...]], str]:
    return read_front_matter(
        text,
        PATH,
        texts=("term", "line"),
        lists=("aliases", "before", "see", "exercises", "labs", "papers"),
        what="an entry",
    )


def test_texts_and_lists() -> None:
    texts, lists, rest = read(GOOD)
    assert texts == {
        "term": "QK: what a head looks for",
        "line": "A matrix that decides where a head looks, whatever it copies from there.",
    }
    assert lists == {
        "aliases": ("QK circuit", 'the "where" of a head', "Goodhart's law"),
        "before": (),
        "see": ("ov-circuit", "attention-head"),
        "exercises": ("03.induction_score",),
        "labs": ("03", "04"),
        "papers": (
            "Elhage et al. (2021), A mathematical framework: section 2",
            "Olsson et al. (2022), on two lines - with a dash",
        ),
    }
    assert rest == "## Why you should care\n"


def test_yaml_reads_the_same() -> None:
    texts, lists, _ = read(GOOD)
    assert yaml.safe_load(GOOD.split("\n---\n")[0]) == texts | {
        key: list(values) for key, values in lists.items()
    }


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("---\nterm", "term", "an entry begins with its front matter"),
        ("term:", "trem:", "no key 'trem'.*Did you mean term"),
        ("labs:", "see:", "'see' stands there twice"),
        ('labs: ["03", "04"]\n', "", "'labs' is missing"),
        ('["03", "04"]', "[03, 04]", 'labs needs quotes around .*: "03"'),
        ('["03", "04"]', '"03"', r"labs is a list such as \[a, b\]"),
        ('["03", "04"]', '["03", "03"]', "lists '03' twice"),
        ('["03", "04"]', '["03" "04"]', "labs cannot be read"),
        ('"QK: what a head looks for"', "QK: what a head looks for", "term needs quotes"),
        ('"QK: what a head looks for"', "[a]", "term is one text"),
        ('"QK: what a head looks for"', "", "term is empty"),
        ("before: []", "before:\n  - [a]", "before needs quotes around '\\[a\\]'"),
        ("before: []", "before:\n  - a\n  - a", "before lists 'a' twice"),
        ("before: []", "before:\n  a", r"before is a list such as \[a, b\]"),
        ("term: ", "term:\n  - ", "term is one text, not a list"),
        ("before: []", "before", "expected 'key: value'"),
    ],
)
def test_errors_say_where_and_what(old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(ValueError, match=rf"circuits/a\.md: .*{message}"):
        read(GOOD.replace(old, new, 1))
