"""From what the user calls a corpus to a stream of documents."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mechscope.dictionaries.sources.texts import ENDINGS
from mechscope.near_names import did_you_mean
from mechscope.neuroscope.corpus.compressed import COMPRESSED, suffix_of_content, why_unreadable
from mechscope.neuroscope.corpus.data_sets import data_set_texts, is_hub_name, is_saved_data_set
from mechscope.neuroscope.corpus.documents import Document, cut_into_documents, readable
from mechscope.neuroscope.corpus.json_lines import JSON_LINES, JsonLines
from mechscope.neuroscope.corpus.named_texts import NAMED_CORPORA, describe_named, named_texts
from mechscope.neuroscope.corpus.text_files import files_below, text_chunks
from mechscope.reading import check_name

log = logging.getLogger(__name__)

Report = Callable[[str], None]
"""Is told, in a sentence, of each file that was skipped."""
MOST_LISTED = 5
"""Problems that the error about an empty corpus lists; it counts the others."""


@dataclass(frozen=True)
class Corpus:
    """Documents in an order that is the same every time. They are read anew each time and never all in memory."""

    names: tuple[str, ...]
    """What the user calls its parts: a named text, a file, a folder, a data set. They are read one after another."""
    field: str = "text"
    """The field that has the text, in JSON Lines and data sets."""

    @property
    def description(self) -> str:
        """What it is, in words, with what decides its contents as far as one can tell without reading it."""
        return " and ".join(
            describe_named(name) if name in NAMED_CORPORA else readable(name) for name in self.names
        )

    def documents(self, report: Report = log.warning) -> Iterator[Document]:
        """The documents, with a report of every file that is skipped.

        Raises:
            FileNotFoundError: if a part cannot be found.
            ImportError: for a data set without the `datasets` library.
            KeyError: for a data set without the field.
        """
        for name in self.names:
            yield from _documents(name, self.field, report)

    def check(self) -> None:
        """Check that there is at least one document, and that every part can be found; before anything is computed.

        Raises:
            FileNotFoundError, ImportError, KeyError: see `documents`.
            ValueError: if the corpus is empty; with what is wrong with its files.
        """
        problems: list[str] = []
        empty = True
        for name in self.names:
            empty = next(_documents(name, self.field, problems.append), None) is None and empty
        if empty:
            listed = "".join(f" {problem}" for problem in problems[:MOST_LISTED])
            more = f" And {len(problems) - MOST_LISTED:,} more." if len(problems) > MOST_LISTED else ""
            raise ValueError(f"there is no text in {' and '.join(self.names)}.{listed}{more}")


def open_corpus(names: str | Sequence[str] = "library", field: str = "text") -> Corpus:
    """The corpus of these names.

    >>> corpus = open_corpus("held-out")
    >>> next(corpus.documents()).name
    'calendar.py'

    Args:
        names: one of `NAMED_CORPORA`; a file of text or of JSON Lines, which may be compressed; a folder of such
            files; a Hugging Face data set (a folder of `save_to_disk`, or a name on the hub). Several are read one
            after another.
        field: the field that has the text, in JSON Lines and data sets.

    Raises:
        FileNotFoundError: for an unknown name; suggests similar ones.
        ValueError: if no name is given, or one that cannot be a file's.
    """
    names = (names,) if isinstance(names, str) else tuple(names)
    if not names:
        raise ValueError(f"name a corpus: a file, a folder, or one of {', '.join(NAMED_CORPORA)}.")
    for name in names:
        if (
            name not in NAMED_CORPORA
            and not check_name(Path(name).expanduser()).exists()
            and not is_hub_name(name)
        ):
            hint = did_you_mean(name, NAMED_CORPORA, show=repr)
            raise FileNotFoundError(
                f"there is no corpus {name!r}: it is neither a file or folder, nor a data set on the hub (owner/name), "
                f"nor one of {', '.join(NAMED_CORPORA)}.{hint}"
            )
    return Corpus(names, field)


def is_read(path: Path) -> bool:
    """Whether a file in a folder is read, by its ending."""
    return not _why_left_out(path)


def _documents(name: str, field: str, report: Report) -> Iterator[Document]:
    if name in NAMED_CORPORA:
        for title, text in named_texts(name):
            yield from cut_into_documents(title, text)
        return
    path = Path(name).expanduser()
    if not path.exists() or is_saved_data_set(path):
        for number, text in data_set_texts(name, field):
            yield from cut_into_documents(f"{Path(name).name}, row {number}", text)
    elif path.is_dir():
        yield from _folder(path, field, report)
    else:
        yield from _file(path, path.name, field, report)


def _folder(folder: Path, field: str, report: Report) -> Iterator[Document]:
    left_out: dict[str, tuple[str, int]] = {}

    def unreadable(error: OSError) -> None:
        report(_skipped(error.filename, error))

    for path in files_below(folder, unreadable):
        name = path.relative_to(folder).as_posix()
        if reason := _why_left_out(path):
            # One name is kept as an example, and the others are counted.
            example, number = left_out.get(reason, (name, 0))
            left_out[reason] = (example, number + 1)
        else:
            yield from _file(path, name, field, report)
    for reason, (example, number) in left_out.items():
        files = f"{example} is" if number == 1 else f"{number:,} files (such as {example}) are"
        report(f"in {folder}, {files} left out: {reason}.")


def _why_left_out(path: Path) -> str:
    """Why a file in a folder is not read, judged by its name; empty if it is."""
    if suffix_of_content(path) not in (*ENDINGS, *JSON_LINES):
        endings = ", ".join((*ENDINGS, *JSON_LINES))
        return f"only files that end in {endings} are read, compressed ({', '.join(COMPRESSED)}) or not"
    return why_unreadable(path)


def _file(path: Path, name: str, field: str, report: Report) -> Iterator[Document]:
    try:
        if suffix_of_content(path) in JSON_LINES:
            yield from _json_lines(path, name, field, report)
        else:
            yield from cut_into_documents(name, text_chunks(path))
    except (OSError, ValueError) as error:
        report(_skipped(path, error))


def _skipped(path: Path | str, error: Exception) -> str:
    """The sentence about a file or folder that cannot be read."""
    if isinstance(error, OSError) and error.strerror:
        reason = f"it cannot be read ({error.strerror})"
    elif isinstance(error, FileNotFoundError):
        is_link = Path(path).is_symlink()
        reason = "it is a link to a file that does not exist" if is_link else "it no longer exists"
    else:
        # An error that is a sentence of its own names the path and ends with a full stop.
        reason = str(error).replace(repr(str(path)), "it", 1).removesuffix(".")
    return f"{path} is skipped: {reason}."


def _json_lines(path: Path, name: str, field: str, report: Report) -> Iterator[Document]:
    lines = JsonLines(path, field)
    for number, text in lines:
        yield from cut_into_documents(f"{name}, line {number}", text)
    if lines.problem:
        report(f"{path}: {lines.problem}.")
