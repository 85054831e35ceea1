"""How an option's value is named in the help, and whether its default is added there."""

from __future__ import annotations

from typing import Any, Literal

import tyro


def _kind(metavar: str | None = None) -> Any:
    # Without a hint: these options' own words say what holds where they are not given.
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
"""A folder with a default, which the help adds; or one that must be given."""
Count = tyro.conf.arg(metavar="N")
"""A whole number with a default, which the help adds."""

Device = Literal["auto", "cpu", "cuda", "mps"]


def choices(*words: str) -> Any:
    """Words to choose from, in an option that may also be left open."""
    return _kind(f"{{{','.join(words)}}}")


def positional(metavar: str) -> Any:
    """Names that stand without an option before them."""
    return _kind(metavar)
