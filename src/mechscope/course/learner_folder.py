"""The learner's folder: one file per unit, never overwritten."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mechscope.course.template import empty_function, replace_function, template_of
from mechscope.course.unit import Exercise, Unit, all_units, find_unit
from mechscope.storage.files import check_folder, write_atomically

MARKER = ".mechscope-course.json"
"""A file in the learner's folder that remembers the templates it was made from."""
BACKUPS = "earlier"
"""The folder that keeps what `reset` replaced."""


@dataclass(frozen=True)
class Started:
    """What `start` did."""

    folder: Path
    """The learner's folder."""
    written: tuple[str, ...]
    """Files that are new."""
    updated: tuple[str, ...]
    """Files that nobody had edited, brought to this version of the course."""
    edited: tuple[str, ...]
    """Files that were edited, and are as they were."""
    missing: tuple[Exercise, ...]
    """Exercises of this version that an edited file does not have."""


def start(folder: Path) -> Started:
    """Write the files of all units that are missing; bring those to this version that nobody has edited.

    Raises:
        NotADirectoryError: if there is a file of this name.
        OSError: if the folder cannot be written to.
    """
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file: choose another name for the folder of the course.")
    check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    known = _known_templates(folder)
    written, updated, edited = [], [], []
    missing: list[Exercise] = []
    for unit in all_units():
        path, template = folder / unit.file_name, template_of(unit)
        if not path.exists():
            write_atomically(path, template)
            written.append(path.name)
        elif (text := _text(path)) == template:
            continue
        elif _digest(text) == known.get(path.name):
            write_atomically(path, template)
            updated.append(path.name)
        else:
            edited.append(path.name)
            missing += [exercise for exercise in unit.exercises if f"def {exercise.name}(" not in text]
    templates = {unit.file_name: _digest(template_of(unit)) for unit in all_units()}
    # An edited file keeps the digest that it was made from.
    kept = {name: known[name] for name in edited if name in known}
    write_atomically(folder / MARKER, json.dumps({"templates": templates | kept}, indent=1) + "\n")
    return Started(folder, tuple(written), tuple(updated), tuple(edited), tuple(missing))


def is_course_folder(folder: Path) -> bool:
    """Whether `start` has written this folder."""
    return (folder / MARKER).is_file()


def reset(folder: Path, exercise: Exercise) -> Path | None:
    """Put the empty function back, or add it if it is missing; keep the file as it was beside it.

    Returns:
        The copy of the file as it was; None if there was no file.

    Raises:
        SyntaxError: if the file is not valid Python, so that the function cannot be found in it.
    """
    unit = find_unit(exercise.unit)
    path = folder / unit.file_name
    if not path.exists():
        write_atomically(path, template_of(unit))
        return None
    text = _text(path)
    changed = replace_function(text, exercise.name, empty_function(unit, exercise.name))
    backup = folder / BACKUPS / f"{datetime.now():%Y-%m-%d-%H%M%S}-{path.name}"
    backup.parent.mkdir(exist_ok=True)
    write_atomically(backup, text)
    write_atomically(path, changed)
    return backup


def unit_of_file(path: Path) -> Unit | None:
    """The unit whose file this is; None if it is none."""
    return next((unit for unit in all_units() if unit.file_name == path.name), None)


def _known_templates(folder: Path) -> dict[str, str]:
    try:
        content = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        templates = content["templates"]
        return {str(name): str(digest) for name, digest in templates.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # Without it every file counts as edited, which loses nothing.
        return {}


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
