"""How the help names an option's value, and whether it shows the default."""

from __future__ import annotations

from typing import Any, Literal

import tyro


def _kind(metavar: str | None = None) -> Any:
    # No hint: the help texts of these options describe their defaults themselves.
    return tyro.conf.arg(help_behavior_hint="", metavar=metavar)


Name = _kind("NAME")
Names = _kind("NAME…")
File = _kind("FILE")
Whole = _kind("N")
Wholes = _kind("N…")
Number = _kind("X")
Numbers = _kind("X…")
Flag = _kind()

Folder = tyro.conf.arg(metavar="FOLDER")
"""A folder, either required or with a default that the help shows."""
OptionalFolder = _kind("FOLDER")
"""A folder that may be omitted."""
Count = tyro.conf.arg(metavar="N")
"""A whole number with a default that the help shows."""

Address = tyro.conf.arg(metavar="ADDRESS")
"""A network address with a default that the help shows."""

Device = Literal["auto", "cpu", "cuda", "mps"]


def choices(*words: str) -> Any:
    """A choice of words for an option that may also be omitted."""
    return _kind(f"{{{','.join(words)}}}")


def positional(metavar: str) -> Any:
    """Positional arguments."""
    return _kind(metavar)
