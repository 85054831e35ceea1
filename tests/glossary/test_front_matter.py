"""The front matter of entries: what is read, what YAML makes of the same text, and the errors for authors."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mechscope.glossary.entry import ENTRIES, HEADINGS, all_entries, read_entry
from mechscope.glossary.front_matter import LISTS, TEXTS, read_front_matter

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
papers: ["Elhage et al. (2021), A mathematical framework, section 2"]
---
## Why you should care
"""


def test_texts_and_lists() -> None:
    texts, lists, rest = read_front_matter(GOOD, PATH)
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
        "papers": ("Elhage et al. (2021), A mathematical framework, section 2",),
    }
    assert rest == "## Why you should care\n"


@pytest.mark.parametrize("text", [GOOD, *(path.read_text("utf-8") for path in sorted(ENTRIES.rglob("*.md")))])
def test_yaml_reads_the_same(text: str) -> None:
    texts, lists, _ = read_front_matter(text, PATH)
    wanted = yaml.safe_load(text.split("\n---\n")[0])
    assert wanted == texts | {key: list(values) for key, values in lists.items()}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("---\nterm", "term", "begins with its front matter"),
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
        ("before: []", "before", "expected 'key: value'"),
    ],
)
def test_errors_say_where_and_what(old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(ValueError, match=rf"circuits/a\.md: .*{message}"):
        read_front_matter(GOOD.replace(old, new, 1), PATH)


def entry_file(folder: Path, name: str = "circuits/my-head.md", **changes: str) -> Path:
    values = dict.fromkeys(TEXTS, "words") | dict.fromkeys(LISTS, "[]") | changes
    text = values.pop("text", "\n".join(f"## {heading}\nwords" for heading in HEADINGS))
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    front = "\n".join(f"{key}: {value}" for key, value in values.items())
    path.write_text(f"---\n{front}\n---\n{text}\n", encoding="utf-8")
    return path


def test_an_entry_is_read(tmp_path: Path) -> None:
    entry = read_entry(entry_file(tmp_path, before="[ov-circuit]", aliases="[one]"))
    assert (entry.slug, entry.section, entry.names, entry.links) == (
        "my-head",
        "circuits",
        ("words", "one"),
        ("ov-circuit",),
    )
    assert list(entry.parts) == list(HEADINGS) and set(entry.parts.values()) == {"words"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "circuits/MyHead.md"}, "lower case with hyphens"),
        ({"name": "circuit/my-head.md"}, "'circuit' is no section"),
        ({"line": "x" * 141}, "line has 141 characters"),
        ({"before": "[a, b, c, d, e]"}, "before lists 5 entries"),
        ({"see": "[my-head]"}, "see lists the entry itself"),
        ({"see": "[My head]"}, "not 'My head'"),
        ({"text": "## The trap\nwords"}, "expected the headings .*found ## The trap"),
    ],
)
def test_mistakes_in_an_entry(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_entry(entry_file(tmp_path, **changes))


def test_every_section_is_read_in_order() -> None:
    entries = list(all_entries().values())
    assert entries
    assert {entry.slug for entry in entries} == {path.stem for path in ENTRIES.rglob("*.md")}
    assert len({entry.slug for entry in entries}) == len(entries)
