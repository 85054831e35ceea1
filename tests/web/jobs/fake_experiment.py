"""A program that stands for `mechscope run` in tests: what it does is decided by the seed.

Seeds: 0 ends at once · 1 counts until a file `go` is in the folder of runs, and then ends · 2 fails with a sentence ·
3 ignores requests to stop, and has a child that does as well · 4 prints without end · 5 is killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from mechscope.runs.progress_file import progress_reporter

SLEEPER = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("asleep", flush=True)
time.sleep(600)
"""


def fake_command(settings: Any, runs: Path) -> list[str]:
    """The command line of this program, for a job of any kind whose settings have a seed."""
    return [sys.executable, "-P", __file__, str(settings.seed), str(runs)]


def main(seed: int, runs: Path) -> int:
    """Do what the seed says."""
    reporter = progress_reporter()
    assert reporter is not None
    print(f"fake experiment with seed {seed}", flush=True)
    reporter.part()
    if seed == 1:
        count = 0
        begun = time.monotonic()
        # Not for ever, even if the test that started it was killed.
        while not (runs / "go").exists() and time.monotonic() < begun + 600:
            count += 1
            reporter.step("counting", min(count, 900), 1000)
            time.sleep(0.02)
    elif seed == 2:
        print("mechscope: the <b>moon</b> is full. Wait until it is not.", flush=True)
    elif seed == 3:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        subprocess.run([sys.executable, "-c", SLEEPER], check=False)
    elif seed == 4:
        while True:
            print("x" * 10_000, flush=True)
    elif seed == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    reporter.end(2 if seed == 2 else 0)
    return 2 if seed == 2 else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2])))
