"""A folder in which somebody works on a problem: made by `start`, read again for a report."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from mechscope.problems.measurement import FILE, Measurement, read_measurement
from mechscope.problems.notes import NOTES, Notes, new_notes, read_notes
from mechscope.problems.problem import Problem, read_copy
from mechscope.reading import read_text
from mechscope.storage.files import check_folder, replacing_folder, write_atomically


@dataclass(frozen=True)
class Started:
    """What a started folder holds."""

    folder: Path
    """Where it is."""
    problem: Problem
    """The problem as it was when it was started."""
    notes: Notes
    """What the reader has written."""
    measurement: Measurement
    """What the starter measured when it last ran."""
    code: str
    """The starter as it is now."""

    @property
    def is_current(self) -> bool:
        """Whether the starter has not changed since it last ran."""
        return self.measurement.is_of(self.problem.starter)


def start(problem: Problem, folder: Path, today: datetime.date | None = None) -> Path:
    """Make a folder with the starter, the problem and a template for notes; a failure leaves nothing behind.

    Args:
        problem: what to work on.
        folder: a folder that does not exist yet.
        today: the date in the notes; None means today.

    Returns:
        The folder.

    Raises:
        FileExistsError: if there is something with this name.
        OSError: if the folder cannot be written.
    """
    if folder.exists() or folder.is_symlink():
        raise FileExistsError(
            f"{folder} exists already, and nothing in it was changed; work there, or choose another name with --folder."
        )
    check_folder(folder)
    # The copy says which problem it is, because the folder may have any name.
    which = f"---\nid: {problem.slug}\narea: {problem.area}\n"
    files = {
        problem.file.name: problem.file.read_text(encoding="utf-8").replace("---\n", which, 1),
        problem.starter.name: problem.starter.read_text(encoding="utf-8"),
        NOTES: new_notes(problem.title, today or datetime.date.today()),
    }
    with replacing_folder(folder) as new:
        for name, text in files.items():
            write_atomically(new / name, text)
    return folder


def read_started(folder: Path) -> Started:
    """Read a started folder whose starter has run.

    Raises:
        FileNotFoundError: if it was never started, its starter has not run, or a file is missing; says what to do.
        ValueError: for a damaged file.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}. `mechscope problems start ID` makes one.")
    if not is_started(folder):
        raise FileNotFoundError(
            f"{folder} has no problem.md: it was not made by `mechscope problems start`. Name a folder that was."
        )
    problem = read_copy(folder)
    if not problem.starter.is_file():
        raise FileNotFoundError(
            f"{folder} has no starter.py. `mechscope problems start {problem.slug} --folder NEW` makes a fresh copy."
        )
    if not (folder / FILE).is_file():
        raise FileNotFoundError(
            f"{folder} has no {FILE}, because its starter has not run yet: python {problem.starter}"
        )
    if not (folder / NOTES).is_file():
        raise FileNotFoundError(f"{folder} has no {NOTES}. Write your notes into a file of this name.")
    return Started(
        folder=folder,
        problem=problem,
        notes=read_notes(read_text(folder / NOTES)),
        measurement=read_measurement(folder / FILE),
        code=read_text(problem.starter),
    )


def is_started(folder: Path) -> bool:
    """Whether `start` has made this folder."""
    return (folder / "problem.md").is_file()


def started_folders(folder: Path) -> list[Path]:
    """The folder itself if it was started, or else those in it that were, by name."""
    if is_started(folder):
        return [folder]
    return sorted(path for path in folder.iterdir() if path.is_dir() and is_started(path))
