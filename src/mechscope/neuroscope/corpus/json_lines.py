"""Read texts from JSON Lines: one JSON object per line, with the text in one of its fields."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from mechscope.near_names import did_you_mean_clause
from mechscope.neuroscope.corpus.compressed import DamagedArchiveError, open_unpacked
from mechscope.reading import regular_file

JSON_LINES = (".jsonl", ".ndjson")
"""Suffixes of files of JSON Lines."""
LONGEST_LINE = 2**26
"""Longer lines, in bytes, are skipped: each is held in memory."""


class JsonLines:
    """The texts of a file of JSON Lines; lines that cannot be read are counted.

    Args:
        path: the file.
        field: the name of the field that has the text.

    Raises:
        OSError, ValueError: for what is not a regular file.
    """

    def __init__(self, path: Path, field: str) -> None:
        self.path = regular_file(path)
        self.field = field
        self.skipped = 0
        """Lines that were skipped so far."""
        self.found = 0
        """Texts that were found so far."""
        self.first_problem = ""
        """What was wrong with the first line that was skipped."""
        self.damage = ""
        """Where and how the file turned out to be damaged, if it is compressed; its later lines are lost."""

    def __iter__(self) -> Iterator[tuple[int, str]]:
        """(number of the line, text) of every line that has one; blank lines do not count.

        Raises:
            ValueError: for a compressed file of a format that this Python cannot unpack.
        """
        number = 0
        try:
            with open_unpacked(self.path) as file:
                for number, line in enumerate(_lines(file), start=1):
                    try:
                        text = text_of_line(line, self.field)
                    except ValueError as error:
                        self.skipped += 1
                        self.first_problem = self.first_problem or f"line {number:,} {error}"
                        continue
                    if text.strip():
                        self.found += 1
                        yield number, text
        except DamagedArchiveError as error:
            where = (
                f"after line {number:,}; the lines up to there are read" if number else "in its first line"
            )
            self.damage = f"{error} {where}"

    @property
    def problem(self) -> str:
        """What was wrong with the file that has been read; empty if nothing was."""
        problems = [self.damage] if self.damage else []
        if self.skipped:
            lines = "1 line was" if self.skipped == 1 else f"{self.skipped:,} lines were"
            first = self.first_problem if self.skipped == 1 else f"the first: {self.first_problem}"
            problems.append(f"{lines} skipped ({first})")
        return "; ".join(problems) or ("" if self.found else "it is empty")


def text_of_line(line: bytes | None, field: str) -> str:
    """The text in a line; empty for a blank line.

    Args:
        line: None stands for a line that is too long.
        field: the name of the field that has the text.

    Raises:
        ValueError: if it has no text; says what is wrong, after "line 3".
    """
    if line is None:
        raise ValueError(f"is longer than {LONGEST_LINE:,} bytes")
    if not line.strip():
        return ""
    try:
        found: Any = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError("is not UTF-8 text") from error
    except (ValueError, RecursionError) as error:
        raise ValueError("is not valid JSON") from error
    if not isinstance(found, dict):
        raise ValueError("is not a JSON object")
    if field not in found:
        hint = did_you_mean_clause(field, found)
        raise ValueError(f"has no field {field!r}{'; ' if hint else ''}{hint}")
    text = found[field]
    if not isinstance(text, str):
        raise ValueError(f"has no text in the field {field!r} but {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        # JSON can write it, as "\\ud800", but it is no character, and no tokenizer reads it.
        half = ascii(text[error.start])
        raise ValueError(f"has half of a surrogate pair ({half}) in the field {field!r}") from error
    return text.replace("\r\n", "\n")


def _lines(file: BinaryIO) -> Iterator[bytes | None]:
    """The lines of a file; None for one that is too long."""
    while line := file.readline(LONGEST_LINE + 1):
        if len(line) <= LONGEST_LINE:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = file.readline(LONGEST_LINE)
        yield None
