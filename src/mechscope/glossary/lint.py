"""What is wrong with the entries, for their authors: `python -m mechscope.glossary.lint`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.console import Console

import mechscope
from mechscope.course.unit import find_exercises
from mechscope.glossary.demo import demo_names, function_name, has_demo
from mechscope.glossary.draw import shipped_figure
from mechscope.glossary.entry import LINK, Entry, all_entries
from mechscope.glossary.paths import reading_path
from mechscope.labs.registry import LABS
from mechscope.near_names import did_you_mean
from mechscope.pages.markdown import lesson_html
from mechscope.pages.repeated_prose import repetitions

COMMON = frozenset(
    {
        "AI",
        "AND",
        "ASCII",
        "BERT",
        "GB",
        "GPT",
        "HTML",
        "HookedTransformer",
        "IO",
        "JSON",
        "LD",
        "MNIST",
        "NOT",
        "OR",
        "SmolLM2",
        "UTF",
        "XOR",
    }
)
"""Words in capitals that need no entry: names of models, data and file formats, operations of logic, and roles that
a lesson names."""
FEWEST_WORDS, MOST_WORDS = 90, 260
_ABBREVIATION = re.compile(r"\b[A-Z][a-z]*[A-Z][A-Za-z0-9]*\b")
_NO_PROSE = re.compile(
    r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$\n]*\$|\{[{%].*?[%}]\}|\[\[.*?\]\]|\(Mc|\bMc", re.DOTALL
)
"""What is not prose: code, formulas, fields of a template and the beginning of a name such as McDougall."""


def problems(entries: Mapping[str, Entry] | None = None) -> list[str]:
    """One sentence for each mistake that only shows when all entries are read.

    Args:
        entries: slug → entry; None means the glossary.
    """
    entries = all_entries() if entries is None else entries
    found = [problem for entry in entries.values() for problem in _problems_of(entry, entries)]
    words = {entry.slug: words_of(entry) for entry in entries.values()}
    repeated = [f"{slug} repeats {other}: “… {run} …”" for slug, other, run in repetitions(words)]
    return [*found, *_cycles(entries), *repeated, *_name_clashes(entries)]


def demo_problems() -> list[str]:
    """Demos without an entry, and demos whose shipped figure is missing or older than their code."""
    entries = all_entries().values()
    found: list[str] = []
    for section, names in demo_names().items():
        known = [function_name(entry) for entry in entries if entry.section == section]
        found += [
            f"demos/{section}: {name} belongs to no entry of its section.{did_you_mean(name, known)}"
            for name in names
            if name not in known
        ]
    return found + [
        f"{entry.slug}: the shipped figure is missing or older than the demo; run python -m mechscope.glossary.draw"
        for entry in entries
        if has_demo(entry) and shipped_figure(entry) is None
    ]


def unexplained(texts: Mapping[str, str], entries: Mapping[str, Entry] | None = None) -> list[str]:
    """Abbreviations that a text uses and no entry explains, such as AUC: whoever meets one has to look it up.

    >>> unexplained({"a lesson": "Its XQZ is high, and so is the KL divergence."})
    ['a lesson uses XQZ, which no entry explains.']

    Args:
        texts: a text's name → Markdown; code and formulas in it do not count.
        entries: slug → entry; None means the glossary.
    """
    entries = all_entries() if entries is None else entries
    known = {
        word for entry in entries.values() for name in entry.names for word in _ABBREVIATION.findall(name)
    }
    found: list[str] = []
    for where, text in texts.items():
        used = dict.fromkeys(_ABBREVIATION.findall(_NO_PROSE.sub(" ", text)))
        found += [
            f"{where} uses {word}, which no entry explains."
            for word in used
            if word not in known | COMMON and word.removesuffix("s") not in known
        ]
    return found


def all_texts() -> dict[str, str]:
    """The lessons of all steps and units and the entries, each with a name that tells where it is."""
    package = Path(mechscope.__path__[0])
    lessons = [*package.glob("labs/*/lesson.md"), *package.glob("course/units/*/lesson.md")]
    texts = {
        path.relative_to(package).as_posix(): path.read_text(encoding="utf-8") for path in sorted(lessons)
    }
    return texts | {entry.slug: entry.text for entry in all_entries().values()}


def words_of(entry: Entry) -> list[str]:
    """The words of an entry's text without its headings, with links as the words that are shown."""
    text = LINK.sub(r"\1", re.sub(r"^##.*$", "", entry.text, flags=re.MULTILINE))
    return text.split()


def _problems_of(entry: Entry, entries: Mapping[str, Entry]) -> Iterator[str]:
    for slug in entry.links:
        if slug not in entries:
            yield f"{entry.slug} links to {slug}, which is no entry.{did_you_mean(slug, entries)}"
    if not any(LINK.search(part) for part in [entry.parts["Where it fits"]]):
        yield f"{entry.slug}: “Where it fits” links to no other entry."
    if not any(entry.slug in other.links for other in entries.values() if other is not entry):
        yield f"{entry.slug}: no other entry links to it."
    count = len(words_of(entry))
    if not FEWEST_WORDS <= count <= MOST_WORDS:
        yield f"{entry.slug} has {count} words; expected {FEWEST_WORDS} to {MOST_WORDS}."
    if empty := [heading for heading, part in entry.parts.items() if not part]:
        yield f"{entry.slug}: nothing stands below “{empty[0]}”."
    if re.search(rf"\b{re.escape(entry.term)}s?\b", entry.line, re.IGNORECASE):
        yield f"{entry.slug}: the line uses the term that it explains: {entry.line}"
    for name in entry.exercises:
        try:
            is_one = [exercise.id for exercise in find_exercises(name)] == [name]
        except KeyError as error:
            yield f"{entry.slug}: {error.args[0]}"
        else:
            if not is_one:
                yield f"{entry.slug}: {name!r} is not the id of one exercise, such as 04.copy_scores."
    for step in entry.labs:
        if step not in (lab.step for lab in LABS):
            yield f"{entry.slug}: there is no step {step!r}; steps are 00 to 05."
    try:
        lesson_html(entry.text, {})
    except ValueError as error:
        yield f"{entry.slug}: {error}"


def _cycles(entries: Mapping[str, Entry]) -> Iterator[str]:
    seen: set[str] = set()
    for entry in entries.values():
        try:
            reading_path(entry, entries)
        except ValueError as error:
            # Every entry that leads into a cycle would name the same one; a missing entry is named above.
            names = str(error).rpartition(": ")[2]
            members = "".join(sorted(names.rstrip(".").split(" → ")[1:]))
            if " → " in names and members not in seen:
                seen.add(members)
                yield str(error)


def _name_clashes(entries: Mapping[str, Entry]) -> Iterator[str]:
    owner: dict[str, str] = {}
    for entry in entries.values():
        for name in entry.names:
            other = owner.setdefault(name.lower(), entry.slug)
            if other != entry.slug:
                yield f"{entry.slug} and {other} are both called {name!r}."


def main() -> int:
    """Print every problem; exits with 1 if there is one."""
    console = Console(highlight=False)
    found = [*problems(), *demo_problems(), *unexplained(all_texts())]
    for problem in found:
        console.print(problem, markup=False, soft_wrap=True)
    console.print(f"{len(all_entries())} entries, {len(found)} problem{'s' * (len(found) != 1)}.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
