"""Entries: what is read from their files, and the errors for authors."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mechscope.glossary.entry import ENTRIES, HEADINGS, LISTS, TEXTS, all_entries, read_entry
from mechscope.pages.front_matter import read_front_matter

FILES = sorted(ENTRIES.rglob("*.md"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_yaml_reads_the_same(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    texts, lists, _ = read_front_matter(text, path, texts=TEXTS, lists=LISTS, what="an entry")
    wanted = yaml.safe_load(text.split("\n---\n")[0])
    assert wanted == texts | {key: list(values) for key, values in lists.items()}


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
