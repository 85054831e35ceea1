"""How much main memory this process can still use: what the machine has, and what a container or a job may take of it.

A process that takes more than its control group allows is ended without a word, whatever the machine has left. Source
of the files: Linux's documentation of control groups (cgroup-v2.rst; cgroup-v1/memory.rst).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CONTROL_GROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")
NO_LIMIT = 2**60
"""The old control groups write a number near 2**63 where there is no limit."""


@dataclass(frozen=True)
class MainMemory:
    """Main memory in bytes, within the limits of this process."""

    available: int
    """Free, or freed by the system when it is asked for, without swapping."""
    total: int
    """All that this process could ever have."""
    free_swap: int
    """Free space on the disk for what does not fit; 0 under a limit."""


def main_memory() -> MainMemory:
    """The machine's memory, or the tightest limit that this process runs under."""
    import psutil

    machine = psutil.virtual_memory()
    available, total, swap = int(machine.available), int(machine.total), int(psutil.swap_memory().free)
    for limit, left in _group_limits():
        if limit < total:
            total, swap = limit, 0
        available = min(available, left)
    return MainMemory(max(available, 0), total, swap)


def _group_limits() -> Iterator[tuple[int, int]]:
    """(limit, what is left of it) of every control group that this process belongs to."""
    try:
        lines = OWN_GROUPS.read_text().splitlines()
    except OSError:
        return  # not Linux
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            root, names = CONTROL_GROUPS, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            root = CONTROL_GROUPS / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        group = root / path.strip("/")
        while group == root or root in group.parents:
            if (found := _limit_of(group, *names)) is not None:
                yield found
            group = group.parent


def _limit_of(group: Path, limit_file: str, used_file: str, reclaimable: str) -> tuple[int, int] | None:
    try:
        limit = (group / limit_file).read_text().strip()
        if limit == "max" or int(limit) >= NO_LIMIT:
            return None
        used = int((group / used_file).read_text())
        counts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    # Pages of files that were read once are the first that the system takes back.
    return int(limit), int(limit) - used + int(counts.get(reclaimable, 0))
