"""How long a run is expected to take: as long as the latest one with the same budget."""

from __future__ import annotations

from pathlib import Path

from mechscope.labs.claims_file import read_claims
from mechscope.labs.registry import LabEntry
from mechscope.web.jobs.record import Budget


def expected_seconds(runs: Path, entry: LabEntry, budget: Budget) -> float | None:
    """Seconds that the latest finished run in a folder took; None if there is none."""
    found: list[tuple[float, float]] = []
    for path in (runs / entry.folder_name).glob(f"{budget}-seed-*/claims.json"):
        try:
            found.append((path.stat().st_mtime, read_claims(path).seconds))
        except (OSError, ValueError):
            continue
    return max(found)[1] if found else None
