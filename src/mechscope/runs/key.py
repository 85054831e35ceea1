"""What decides a piece of work, and what has changed since it was done."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mechscope.arguments import not_of_kind
from mechscope.runs.config_diff import config_diff

MOST_FILES = 3
"""Changed files that a message names; it counts the others."""
AGAIN = "It is computed again and replaced."
"""What happens to stale work in a folder that a run fills by itself."""
NO_INPUTS = (
    "was written by an earlier version, which did not keep which weights and which text its activations came from: "
    "nobody can tell whether they are still the same."
)
"""Says that a file has no checksums of its inputs."""
NO_SOURCE = "was written by an earlier version, which did not record the code that computed it"
"""Says that a file has no digests of source files."""


@dataclass(frozen=True)
class RunKey:
    """Everything that decides what a piece of work computes. Work under another key is never reused."""

    settings: Mapping[str, Any]
    """Settings, as values that JSON can hold."""
    inputs: Mapping[str, str] = field(default_factory=dict[str, str])
    """Name → what is read: a checksum, or words that include one."""
    source: Mapping[str, str] = field(default_factory=dict[str, str])
    """Source file → digest, from `source_digests`."""

    @property
    def name(self) -> str:
        """16 hexadecimal digits of the settings and inputs, to name a folder with.

        The code is left out: when it changes, the new work takes the place of the old.
        """
        return digest({"settings": self.settings, "inputs": self.inputs})

    @property
    def code(self) -> str:
        """16 hexadecimal digits of all source files."""
        return digest(self.source)

    def with_source(self, source: Mapping[str, str]) -> RunKey:
        """The same work, computed by these source files."""
        return replace(self, source=source)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON, which has no numbers for NaN and infinity: they become strings."""
        return {"settings": _finite(self.settings), "inputs": dict(self.inputs), "source": dict(self.source)}

    def changes_since(self, stored: object) -> str:
        """What has changed since work was done under another key; empty if nothing has.

        Args:
            stored: the other key as JSON has it; None or anything malformed is a key that an earlier version wrote.
        """
        there = read_key(stored)
        if there is None:
            return NO_SOURCE
        here = json.loads(json.dumps(self.to_dict()))
        lines = config_diff(there.settings, here["settings"], "there", "here")
        lines += config_diff(there.inputs, here["inputs"], "there", "here")
        if code := source_changes(there.source, self.source):
            lines.append(code)
        return "; ".join(lines)


def read_key(stored: object) -> RunKey | None:
    """A key as `RunKey.to_dict` described it; None for anything else."""
    if isinstance(stored, Mapping):
        kinds = {"settings": dict[str, Any], "inputs": dict[str, str], "source": dict[str, str]}
        if all(name in stored and not_of_kind(stored[name], kind) is None for name, kind in kinds.items()):
            return RunKey(stored["settings"], stored["inputs"], stored["source"])
    return None


def source_changes(there: Mapping[str, str], here: Mapping[str, str]) -> str:
    """Which source files have changed, in words; empty if none has.

    >>> source_changes({"a.py": "1", "b.py": "2"}, {"a.py": "1", "b.py": "3"})
    'its code has changed (b.py)'
    """
    changed = sorted(name for name in {*there, *here} if there.get(name) != here.get(name))
    if not changed:
        return ""
    named = ", ".join(changed[:MOST_FILES])
    more = f" and {len(changed) - MOST_FILES} more" if len(changed) > MOST_FILES else ""
    return f"its code has changed ({named}{more})"


def stale_message(path: object, changes: str, advice: str, what: str = "another run") -> str:
    """The one sentence about work that cannot be reused.

    Args:
        path: the file or folder.
        changes: from `RunKey.changes_since`.
        advice: what happens now, or what to do; a sentence.
        what: whose work it is.
    """
    if changes.startswith("was written"):
        return f"{path} {changes.rstrip('.')}. {advice}"
    return f"{path} belongs to {what}: {changes}. {advice}"


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value


def digest(value: Any) -> str:
    """16 hexadecimal digits of a value that JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
