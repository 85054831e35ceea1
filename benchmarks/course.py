"""How long a learner waits for an answer: python -m benchmarks.course [--rounds N]"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from mechscope.course import learner_folder
from mechscope.course.lint import faults_of
from mechscope.course.progress import Progress
from mechscope.course.session import CourseSession
from mechscope.course.unit import Exercise, all_units, find_exercises
from mechscope.pages.text_template import fill_page
from mechscope.storage.files import write_atomically

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "course-benchmarks.md"


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often every exercise is checked")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "course"
        learner_folder.start(folder)
        for unit in all_units():
            # The solutions themselves: what a learner's file looks like at the end.
            (folder / unit.file_name).write_text(unit.reference.read_text(encoding="utf-8"), encoding="utf-8")
        session = CourseSession(folder, Progress(Path(name) / "progress.sqlite"))
        quick = [exercise for exercise in find_exercises("all") if not exercise.is_slow]
        cold = _seconds(session, quick[0])
        # The server is there now; a new session would find it, too.
        times = {
            exercise.id: statistics.median(_seconds(session, exercise) for _ in range(rounds))
            for exercise in quick
        }
        ready = _get_ready()
    begun = time.perf_counter()
    faults = [fault for exercise in find_exercises("all") for fault in faults_of(exercise)]
    if faults:
        raise SystemExit("\n".join(faults))
    proof = time.perf_counter() - begun
    slowest = max(times, key=lambda name: times[name])
    values = {
        "rounds": rounds,
        "median": statistics.median(times.values()),
        "slowest": times[slowest],
        "slowest_name": slowest,
        "ready": ready,
        "cold": cold,
        "exercises": len(find_exercises("all")),
        "proof": proof,
        "machine": f"Python {platform.python_version()}, torch {version('torch')}, {platform.machine()}.",
    }
    text = fill_page(HERE / "course.md", **values)
    write_atomically(PAGE, text)
    print(text)


def _seconds(session: CourseSession, exercise: Exercise) -> float:
    begun = time.perf_counter()
    result = session.check(exercise)
    if result.status != "passed":
        raise SystemExit(f"{exercise.id}: {result.problem}")
    return time.perf_counter() - begun


def _get_ready() -> float:
    """How long a new process takes until it could check."""
    import subprocess
    import sys

    # A script, since processes are started from the main module's file.
    lines = (
        "from mechscope.course.runner import CheckRunner",
        "if __name__ == '__main__':",
        "    CheckRunner().warm_up()",
    )
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        script = Path(name) / "ready.py"
        script.write_text("\n".join(lines), encoding="utf-8")
        subprocess.run([sys.executable, str(script)], check=True)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
