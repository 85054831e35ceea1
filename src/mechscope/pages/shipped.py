"""Results that are shipped as data with a checksum of the code that made them, so that pages run nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from rich.console import Console

from mechscope.storage.files import write_atomically


def source_checksum(source: str) -> str:
    """A checksum of code without its white space, by which results of an earlier version are noticed."""
    return sha256("".join(source.split()).encode()).hexdigest()[:16]


def shipped_content(path: Path, source: str, key: str) -> dict[str, Any] | None:
    """What a shipped file holds; None if it is missing, or the code that made it has changed since.

    Args:
        path: the file.
        source: the code as it is now.
        key: the name in the file under which the checksum of the code is stored.
    """
    if not path.is_file():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    return content if content.pop(key) == source_checksum(source) else None


def ship(path: Path, content: Mapping[str, Any], source: str, key: str, at_most: int) -> int:
    """Write a result to be shipped.

    Args:
        path: the file.
        content: the result, as JSON holds it.
        source: the code that made it.
        key: the name in the file under which the checksum of the code is stored.
        at_most: the largest allowed size in bytes.

    Returns:
        The size in bytes.

    Raises:
        ValueError: if it is too large for a page.
    """
    text = json.dumps({**content, key: source_checksum(source)}, ensure_ascii=False, separators=(",", ":"))
    if (size := len(text.encode()) + 1) > at_most:
        raise ValueError(
            f"the figure takes {size} bytes; at most {at_most} keep its page small. Draw fewer points."
        )
    write_atomically(path, f"{text}\n")
    return size


def ship_all(makers: Mapping[str, Callable[[], int]]) -> int:
    """Make and ship several results, and print the size of each, or what went wrong.

    Args:
        makers: name → function that ships the result and returns its size.

    Returns:
        How many failed.
    """
    console = Console(highlight=False)
    failed = 0
    for name, make in makers.items():
        try:
            console.print(f"{name}: {make()} bytes", markup=False)
        except Exception as error:
            # The others are still made: an author sees at once which need work.
            failed += 1
            console.print(f"{name}: {type(error).__name__}: {error}", markup=False, soft_wrap=True)
    return failed
