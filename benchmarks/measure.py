"""Time implementations in alternation: each runs once per round; CPU seconds, medians, and ratios.

Machines are shared and noisy, so a time is only compared with others of the same round.
"""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """CPU seconds of each implementation, and the median over rounds of its ratio to ours."""

    name: str
    seconds: dict[str, float]
    ratio_to_ours: dict[str, float]
    rounds: int
    note: str = ""


def alternate(
    name: str,
    contenders: Mapping[str, Callable[[], object]],
    rounds: int = 7,
    repeat: int = 1,
    note: str = "",
) -> Timing:
    """Time each implementation in `rounds` rounds, after a warm-up round.

    The one called "mechscope" is ours; the ratio of another is its time divided by ours.
    """
    times: dict[str, list[float]] = {label: [] for label in contenders}
    order = list(contenders)
    for round_number in range(rounds + 1):
        # The order rotates, so that none always runs on another's warm cache.
        turn = round_number % len(order)
        for label in order[turn:] + order[:turn]:
            gc.collect()
            start = time.process_time()
            for _ in range(repeat):
                contenders[label]()
            if round_number:
                times[label].append((time.process_time() - start) / repeat)
    ours = times["mechscope"]
    ratios = {
        label: statistics.median(theirs / our for theirs, our in zip(values, ours, strict=True))
        for label, values in times.items()
    }
    medians = {label: statistics.median(values) for label, values in times.items()}
    return Timing(name, medians, ratios, rounds, note)


def run_in_process(code: str, rounds: int) -> list[dict[str, float]]:
    """Run Python code in fresh processes; each prints `key=value` figures, which come back.

    What a process loads and how much memory it peaks at can only be seen from a fresh one. The code
    may call `peak_mb()`.
    """
    prelude = (
        "import pathlib, resource, time\n"
        "def peak_mb():\n"
        "    status = pathlib.Path('/proc/self/status')\n"
        "    if status.exists():\n"
        "        # Unlike the other figure, it does not begin at what the starting process holds.\n"
        "        return int(status.read_text().partition('VmHWM:')[2].split()[0]) / 1024\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
    )
    results = []
    for _ in range(rounds):
        done = subprocess.run(
            [sys.executable, "-c", prelude + code], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"a measured process failed:\n{done.stderr[-3000:]}")
        pairs = [line.split("=") for line in done.stdout.splitlines() if line.count("=") == 1]
        results.append({key: float(value) for key, value in pairs})
    return results


def median_of(results: list[dict[str, float]], key: str) -> float:
    """The median of one figure over processes."""
    return statistics.median(result[key] for result in results)
