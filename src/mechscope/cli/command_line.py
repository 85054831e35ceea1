"""Format a command line that can be copied and run."""

from __future__ import annotations

import shlex
from pathlib import Path


def command_line(*words: str | Path | int) -> str:
    """`mechscope` followed by these arguments, with shell quoting where necessary.

    >>> command_line("sae", "eval", Path("my runs/topk"))
    "mechscope sae eval 'my runs/topk'"
    """
    return shlex.join(["mechscope", *(_as_argument(word) for word in words)])


def _as_argument(word: str | Path | int) -> str:
    # A path that begins with a dash would be read as an option.
    return f"./{word}" if isinstance(word, Path) and str(word).startswith("-") else str(word)
