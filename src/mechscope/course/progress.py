"""What the learner has done, in a database in the user's data folder. It never leaves the machine."""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from platformdirs import user_data_path

from mechscope.course.result import CheckResult
from mechscope.course.unit import Exercise
from mechscope.settings import decode

VARIABLE = "MECHSCOPE_COURSE_PROGRESS"
"""An environment variable with another place for the database."""
VERSION = 2
"""Of the database."""
EXPORT_VERSION = 1
"""Of exported progress."""
WAIT = 10.0
"""Seconds to wait for another process that is writing."""
TABLES = """
CREATE TABLE IF NOT EXISTS attempts (
    exercise TEXT NOT NULL, at REAL NOT NULL, status TEXT NOT NULL, seconds REAL NOT NULL, seed INTEGER NOT NULL,
    digest TEXT NOT NULL, UNIQUE (exercise, at, status));
CREATE TABLE IF NOT EXISTS hints (
    exercise TEXT NOT NULL, level INTEGER NOT NULL, at REAL NOT NULL, UNIQUE (exercise, level));
CREATE TABLE IF NOT EXISTS skipped (exercise TEXT PRIMARY KEY, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS results (
    exercise TEXT PRIMARY KEY, at REAL NOT NULL, digest TEXT NOT NULL, result TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
PAUSE = 20 * 60
"""Seconds without a check or a hint that count as a pause."""
COLUMNS = {
    "attempts": ("exercise", "at", "status", "seconds", "seed", "digest"),
    "hints": ("exercise", "level", "at"),
    "skipped": ("exercise", "at"),
}
KINDS: Mapping[str, type | tuple[type, ...]] = {
    "exercise": str,
    "at": (int, float),
    "status": str,
    "seconds": (int, float),
    "seed": int,
    "digest": str,
    "level": int,
}


@dataclass(frozen=True)
class ExerciseState:
    """What is known about one exercise."""

    attempts: int = 0
    """How many checks were run on it."""
    passed: bool = False
    """Whether one passed."""
    digest: str = ""
    """What the function looked like when it passed last."""
    hints: int = 0
    """How many hints were shown; 4 is the solution."""
    skipped: bool = False
    """Whether the learner skipped it."""

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to do."""
        return self.passed or self.skipped

    @property
    def name(self) -> Literal["passed", "skipped", "tried", "new"]:
        """One word for it."""
        if self.passed:
            return "passed"
        if self.skipped:
            return "skipped"
        return "tried" if self.attempts else "new"


@dataclass(frozen=True)
class RecordedResult:
    """The last result of an exercise."""

    result: CheckResult
    """What the check found."""
    at: float
    """When, in seconds since 1970."""
    digest: str
    """What the function looked like."""


class Progress:
    """The database. Every method opens and closes it, so that several processes can use it at once.

    Args:
        path: its file; None means MECHSCOPE_COURSE_PROGRESS, or the user's data folder.

    Attributes:
        warning: what could not be read or kept, in a sentence; empty if all is well.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or default_path()
        self.warning = ""

    def record(self, result: CheckResult, digest: str) -> None:
        """Keep the outcome of a check."""
        now = time.time()
        row = (result.exercise, now, result.status, result.seconds, result.seed, digest)
        self._write("INSERT OR IGNORE INTO attempts VALUES (?, ?, ?, ?, ?, ?)", row)
        text = json.dumps(result.to_json())
        self._write(
            "INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?)", (result.exercise, now, digest, text)
        )

    def results(self, unit: str) -> dict[str, RecordedResult]:
        """Exercise → its last result, for the exercises of a unit."""
        rows = self._read(
            "SELECT exercise, at, digest, result FROM results WHERE substr(exercise, 1, ?) = ?",
            (len(unit) + 1, f"{unit}."),
        )
        found: dict[str, RecordedResult] = {}
        for exercise, at, digest, text in rows:
            # A result of another version counts as none.
            with suppress(ValueError):
                result = decode(CheckResult, json.loads(text), "a result")
                found[exercise] = RecordedResult(result, at, digest)
        return found

    def record_hint(self, exercise: str, level: int) -> None:
        """Remember that a hint was shown (1 to 3), or the solution (4)."""
        self._write("INSERT OR IGNORE INTO hints VALUES (?, ?, ?)", (exercise, level, time.time()))

    def skip(self, exercise: str) -> None:
        """Remember that the learner skips an exercise."""
        self._write("INSERT OR REPLACE INTO skipped VALUES (?, ?)", (exercise, time.time()))

    def forget(self, exercise: str) -> None:
        """Forget everything about an exercise, as if it had never been tried."""
        for table in (*COLUMNS, "results"):
            self._write(f"DELETE FROM {table} WHERE exercise = ?", (exercise,))

    def set(self, name: str, value: str) -> None:
        """Keep a setting, such as where the learner's folder is."""
        self._write("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, value))

    def get(self, name: str) -> str:
        """A setting; empty if it was never kept."""
        rows = self._read("SELECT value FROM settings WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else ""

    def states(self) -> dict[str, ExerciseState]:
        """Exercise → what is known about it, for all that were touched."""
        found: dict[str, dict[str, Any]] = {}
        for exercise, count, passed in self._read(
            "SELECT exercise, COUNT(*), MAX(status = 'passed') FROM attempts GROUP BY exercise"
        ):
            found.setdefault(exercise, {}).update(attempts=count, passed=bool(passed))
        for exercise, digest in self._read(
            "SELECT exercise, digest FROM attempts WHERE status = 'passed' ORDER BY at"
        ):
            found.setdefault(exercise, {})["digest"] = digest
        for exercise, level in self._read("SELECT exercise, MAX(level) FROM hints GROUP BY exercise"):
            found.setdefault(exercise, {})["hints"] = level
        for (exercise,) in self._read("SELECT exercise FROM skipped"):
            found.setdefault(exercise, {})["skipped"] = True
        return {exercise: ExerciseState(**values) for exercise, values in found.items()}

    def state(self, exercise: str) -> ExerciseState:
        """What is known about one exercise."""
        return self.states().get(exercise, ExerciseState())

    def latest(self) -> str:
        """The exercise that was checked last, or for which a hint was shown; empty before the first."""
        rows = self._read(
            "SELECT exercise, at FROM attempts UNION ALL SELECT exercise, at FROM hints ORDER BY at DESC LIMIT 1"
        )
        return str(rows[0][0]) if rows else ""

    def minutes(self) -> dict[str, float]:
        """Exercise → the learner's own minutes on it: from one check or hint to the next, without pauses."""
        events = self._read(
            "SELECT at, exercise FROM attempts UNION ALL SELECT at, exercise FROM hints ORDER BY at"
        )
        spent: dict[str, float] = {}
        for (before, _), (at, exercise) in itertools.pairwise(events):
            if at - before <= PAUSE:
                spent[exercise] = spent.get(exercise, 0.0) + (at - before) / 60
        return spent

    def to_json(self) -> dict[str, Any]:
        """Everything but the settings, as `import_json` takes it."""
        tables = {
            table: [
                dict(zip(columns, row, strict=True))
                for row in self._read(f"SELECT {', '.join(columns)} FROM {table}")
            ]
            for table, columns in COLUMNS.items()
        }
        return {"mechscope-progress": EXPORT_VERSION, **tables}

    def import_json(self, content: Any) -> int:
        """Add exported progress to what is here, and return the number of new entries.

        Raises:
            ValueError: if it is no exported progress; nothing is changed then.
        """
        if not isinstance(content, dict) or content.get("mechscope-progress") != EXPORT_VERSION:
            raise ValueError("this is no progress that `mechscope course export` of this version wrote.")
        rows: list[tuple[str, tuple[Any, ...]]] = []
        for table, columns in COLUMNS.items():
            for entry in content.get(table, []):
                fits = isinstance(entry, dict) and set(entry) == set(columns)
                if not fits or any(not isinstance(entry[name], KINDS[name]) for name in columns):
                    raise ValueError(
                        f"an entry of {table} is not as `mechscope course export` writes it: {entry!r:.200}."
                    )
                marks = ", ".join("?" * len(columns))
                rows.append(
                    (
                        f"INSERT OR IGNORE INTO {table} VALUES ({marks})",
                        tuple(entry[name] for name in columns),
                    )
                )
        with self._open() as connection:
            before = connection.total_changes
            with connection:
                for statement, values in rows:
                    connection.execute(statement, values)
            return connection.total_changes - before

    def _write(self, statement: str, values: tuple[Any, ...]) -> None:
        try:
            with self._open() as connection, connection:
                connection.execute(statement, values)
        except (OSError, sqlite3.OperationalError) as error:
            self.warning = (
                f"Your progress could not be kept in {self.path} ({error}). Checks work without it."
            )

    def _read(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        if not self.path.exists():
            return []
        try:
            with self._open() as connection:
                return connection.execute(statement, values).fetchall()
        except (OSError, sqlite3.OperationalError) as error:
            self.warning = f"Your progress could not be read from {self.path} ({error})."
            return []

    @contextmanager
    def _open(self) -> Generator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            connection = self._connect()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            aside = self.path.with_name(f"{self.path.stem}-damaged-{time.time():.0f}{self.path.suffix}")
            self.path.rename(aside)
            self.warning = (
                f"The file with your progress was damaged. It is now {aside}, and a new one was begun."
            )
            connection = self._connect()
        try:
            yield connection
        finally:
            connection.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=WAIT)
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                raise OSError(f"it was written by a newer mechscope (format {version})")
            if version < VERSION:
                with connection:
                    connection.executescript(TABLES)
                    connection.execute(f"PRAGMA user_version = {VERSION}")
        except BaseException:
            connection.close()
            raise
        return connection


def state_of(states: Mapping[str, ExerciseState], exercise: Exercise) -> ExerciseState:
    """The state of an exercise among those of `Progress.states`, which has only the exercises that were touched."""
    return states.get(exercise.id, ExerciseState())


def default_path() -> Path:
    """Where progress is kept: MECHSCOPE_COURSE_PROGRESS, or the user's data folder."""
    given = os.environ.get(VARIABLE, "")
    return Path(given) if given else user_data_path("mechscope") / "progress.sqlite"


def read_export(path: Path) -> Any:
    """The content of an exported file.

    Raises:
        ValueError: if it is not JSON.
        OSError: if it cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}.") from None
