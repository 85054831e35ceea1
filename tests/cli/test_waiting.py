"""The command line tells OpenMP not to spin, before torch is there to be told too late."""

from __future__ import annotations

import subprocess
import sys

CODE = (
    "import os, sys\nos.environ.pop('OMP_WAIT_POLICY', None)\nsys.argv = ['mechscope', 'run', 'no-such-step']\n"
    "from mechscope.cli.main import main\n"
    "try:\n    main()\nexcept SystemExit as end:\n"
    "    print(end.code, os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
)


def test_threads_wait_passively_unless_the_user_says_otherwise() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["2", "passive", "False"], done.stderr
