"""Guess how long a corpus is without reading it, to say how much time is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mechscope.neuroscope.corpus.compressed import read_beginning, suffix_of_content
from mechscope.neuroscope.corpus.data_sets import is_saved_data_set
from mechscope.neuroscope.corpus.given_texts import GivenTexts
from mechscope.neuroscope.corpus.json_lines import JSON_LINES, text_of_line
from mechscope.neuroscope.corpus.named_texts import NAMED_CORPORA, named_texts
from mechscope.neuroscope.corpus.opening import Corpus, is_read
from mechscope.neuroscope.corpus.text_files import files_below

MEASURED = 4
"""Of so many files of each kind, the beginning is read, …"""
BEGINNING = 2**22
"""… which is so many bytes long, unpacked."""


def about_how_many_characters(corpus: Corpus) -> int | None:
    """The number of characters of all texts; None if a part is a data set, whose size is not known.

    A file of JSON Lines has more in it than text, a compressed one unpacks to more than its size, and letters outside
    ASCII take several bytes. So the sizes of files are multiplied by what the beginnings of some have shown.
    """
    if isinstance(corpus, GivenTexts):
        return sum(map(len, corpus.texts.values()))
    total = 0
    for name in corpus.names:
        path = Path(name).expanduser()
        if name in NAMED_CORPORA:
            total += sum(len(text) for _, text in named_texts(name))
        elif is_saved_data_set(path) or not path.exists():
            return None
        else:
            total += _in_files(_files(path), corpus.field)
    return total


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from (file for file in files_below(path) if is_read(file) and file.is_file())
    else:
        yield path


def _in_files(files: Iterator[Path], field: str) -> int:
    sizes: Counter[str] = Counter()
    measured: Counter[str] = Counter()
    characters: Counter[str] = Counter()
    stored: Counter[str] = Counter()
    for path in files:
        kind = f"{suffix_of_content(path)} {path.suffix.lower()}"
        sizes[kind] += path.stat().st_size
        if measured[kind] < MEASURED:
            measured[kind] += 1
            found, size = _beginning(path, field)
            characters[kind] += found
            stored[kind] += size
    return sum(round(size * characters[kind] / stored[kind]) for kind, size in sizes.items() if stored[kind])


def _beginning(path: Path, field: str) -> tuple[int, int]:
    """The number of characters at the beginning of a file, and as how many bytes they are stored."""
    try:
        content, stored, is_whole, is_damaged = read_beginning(path, BEGINNING)
    except (OSError, ValueError):  # it is reported when its turn comes
        return 0, 0
    if suffix_of_content(path) not in JSON_LINES:
        return (0 if is_damaged else len(content.decode("utf-8-sig", "ignore"))), stored
    lines = content.split(b"\n")
    characters = 0
    for line in lines if is_whole or len(lines) == 1 else lines[:-1]:
        with suppress(ValueError):
            characters += len(text_of_line(line, field))
    return characters, stored
