"""An entry of the glossary, read from its file without loading torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mechscope.near_names import near_names
from mechscope.pages.front_matter import read_front_matter

ENTRIES = Path(__file__).parent / "entries"
SECTIONS = {
    "maths": "Maths and deep learning",
    "transformers": "Transformers",
    "circuits": "Circuits",
    "features": "Features and superposition",
    "techniques": "Techniques",
    "dictionaries": "Dictionary learning",
    "tasks": "Toy and algorithmic tasks",
    "field": "The field",
}
"""Folder → title, in the order in which the glossary is read."""
TEXTS = ("term", "line")
LISTS = ("aliases", "before", "see", "exercises", "labs", "papers")
INTRODUCTIONS = {
    "maths": "What the other sections take for granted: vectors and their angles, probabilities and losses, and what "
    "training does to weights.",
    "transformers": "The parts of the network that this field looks into, from a token to a prediction.",
    "circuits": "Parts that work together, and the roles that attention heads were found to play in several models.",
    "features": "What the directions and the neurons inside a model stand for, and why one neuron rarely stands for "
    "one thing.",
    "techniques": "How a claim about the inside of a model is tested: read it out, change it, and compare with chance.",
    "dictionaries": "How activations are split into sparse features, and how to tell a good dictionary from a bad one.",
    "tasks": "Small problems with known answers, on which the methods can be checked.",
    "field": "What mechanistic interpretability wants, and the ways in which it fools itself.",
}
"""Folder → what the section is about, in one sentence."""
HEADINGS = ("Why you should care", "The intuition", "The trap", "Where it fits")
LONGEST_LINE = 140
MOST_BEFORE = 4
LINK = re.compile(r"(?<!!)\[([^\[\]]+)\]\(([a-z0-9-]+)\)")
"""A link from one entry's text to another: [words](slug)."""
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_HEADING = re.compile(r"^## +(.+?) *$", re.MULTILINE)


@dataclass(frozen=True)
class Entry:
    """One term."""

    slug: str
    """Its name in links and on the command line: "name-mover-head"."""
    section: str
    """A key of `SECTIONS`."""
    term: str
    """The term as a heading."""
    aliases: tuple[str, ...]
    """Other names that people search for."""
    line: str
    """What it is, in one sentence."""
    before: tuple[str, ...]
    """Slugs of entries to read first."""
    see: tuple[str, ...]
    """Slugs of related entries."""
    exercises: tuple[str, ...]
    """Ids of exercises of the course: "04.copy_scores"."""
    labs: tuple[str, ...]
    """Steps: "00" to "05"."""
    papers: tuple[str, ...]
    """Where it comes from."""
    text: str
    """Markdown with the four headings; links to other entries have a slug as their target."""

    @property
    def names(self) -> tuple[str, ...]:
        """The term and its aliases."""
        return (self.term, *self.aliases)

    @property
    def parts(self) -> Mapping[str, str]:
        """Heading → Markdown below it."""
        pieces = _HEADING.split(self.text)[1:]
        return dict(zip(pieces[::2], (piece.strip() for piece in pieces[1::2]), strict=True))

    @property
    def links(self) -> tuple[str, ...]:
        """Every entry that this one refers to: what to read first, what is related, and links in the text."""
        return tuple(
            dict.fromkeys((*self.before, *self.see, *(link[2] for link in LINK.finditer(self.text))))
        )


def read_entry(path: Path) -> Entry:
    """Read an entry's file.

    Raises:
        ValueError: names the file, the key and what was expected.
    """
    slug, section = path.stem, path.parent.name
    if not _SLUG.fullmatch(slug):
        raise ValueError(
            f"{path}: a file is named by its term in lower case with hyphens, as in name-mover-head.md."
        )
    if section not in SECTIONS:
        raise ValueError(f"{path}: {section!r} is no section. Sections: {', '.join(SECTIONS)}.")
    texts, lists, text = read_front_matter(
        path.read_text(encoding="utf-8"), path, texts=TEXTS, lists=LISTS, what="an entry"
    )
    if len(texts["line"]) > LONGEST_LINE:
        raise ValueError(f"{path}: line has {len(texts['line'])} characters; at most {LONGEST_LINE} fit.")
    if len(lists["before"]) > MOST_BEFORE:
        raise ValueError(
            f"{path}: before lists {len(lists['before'])} entries; at most {MOST_BEFORE} are read first."
        )
    for key in ("before", "see"):
        for other in lists[key]:
            if not _SLUG.fullmatch(other):
                raise ValueError(f"{path}: {key} lists slugs such as name-mover-head, not {other!r}.")
            if other == slug:
                raise ValueError(f"{path}: {key} lists the entry itself.")
    found = tuple(_HEADING.findall(text))
    if found != HEADINGS:
        raise ValueError(
            f"{path}: expected the headings {', '.join(f'## {heading}' for heading in HEADINGS)}, in this order; "
            f"found {', '.join(f'## {heading}' for heading in found) or 'none'}."
        )
    return Entry(slug=slug, section=section, text=text, term=texts["term"], line=texts["line"], **lists)


@cache
def all_entries() -> Mapping[str, Entry]:
    """Slug → entry, in the order of the sections, and within each in the order of the terms.

    Raises:
        ValueError: for a mistake in a file; names the file, the key and what was expected.
    """
    entries: dict[str, Entry] = {}
    for folder in sorted(path for path in ENTRIES.iterdir() if path.is_dir()):
        if folder.name not in SECTIONS:
            raise ValueError(f"{folder}: no section has this name. Sections: {', '.join(SECTIONS)}.")
    for section in SECTIONS:
        read = (read_entry(path) for path in (ENTRIES / section).glob("*.md"))
        for entry in sorted(read, key=lambda entry: entry.term.lower()):
            if entry.slug in entries:
                raise ValueError(
                    f"{entry.slug}.md lies in two sections: {entries[entry.slug].section} and {section}."
                )
            entries[entry.slug] = entry
    return entries


def entries_of(section: str) -> list[Entry]:
    """The entries of a section, in the order of the terms."""
    return [entry for entry in all_entries().values() if entry.section == section]


def find_entry(name: str) -> Entry:
    """The entry with a slug, term or alias, whatever its case, and with spaces, hyphens or underscores.

    >>> find_entry("Cherry picking").slug
    'cherry-picking'

    Raises:
        KeyError: for an unknown name; suggests similar ones.
    """
    found = _names().get(_plain(name))
    if found is None:
        near = near_slugs(name)
        question = f" Did you mean {' or '.join(near)}?" if near else ""
        raise KeyError(f"there is no entry {name!r}.{question} `mechscope glossary` lists all of them.")
    return all_entries()[found]


def near_slugs(name: str, n: int = 3) -> list[str]:
    """Slugs of up to `n` entries with a similar term or alias, the most similar first.

    If there are none, those with a similar word in a name: "chery" for "cherry-picking".
    """
    names, plain = _names(), _plain(name)
    near = [names[other] for other in near_names(plain, names, n=2 * n, cutoff=0.7)]
    if not near:
        words = sorted({word for other in names for word in other.split() if len(word) > 3})
        similar = near_names(plain, words, n=n, cutoff=0.75)
        near = [names[other] for word in similar for other in names if word in other.split()]
    return list(dict.fromkeys(near))[:n]


@cache
def _names() -> Mapping[str, str]:
    """Slug, term and aliases in plain form → slug. A term takes precedence over another entry's alias."""
    entries = all_entries().values()
    names = {_plain(entry.slug): entry.slug for entry in entries}
    for entry in entries:
        names.setdefault(_plain(entry.term), entry.slug)
    for entry in entries:
        for alias in entry.aliases:
            names.setdefault(_plain(alias), entry.slug)
    return names


def _plain(name: str) -> str:
    """A name without what people write differently: case, hyphens, and the s of a plural."""
    words = re.sub(r"[\s_\-–]+", " ", name.lower()).strip()
    return (
        words[:-1]
        if len(words) > 4 and words.endswith("s") and not words.endswith(("ss", "is", "us"))
        else words
    )
