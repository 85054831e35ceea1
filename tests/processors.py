"""Run the tests with the kernels of other processors: `python -m tests.processors [pytest arguments]`.

torch, MKL and oneDNN choose their kernels by the processor that they find, and each can be told to use those of an
older one. The kernels add numbers up in another order, so a test that passes here by luck fails in one of these runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

OLD_MKL = {"MKL_ENABLE_INSTRUCTIONS": "SSE4_2", "MKL_CBWR": "COMPATIBLE", "ONEDNN_MAX_CPU_ISA": "SSE41"}
SETTINGS: dict[str, dict[str, str]] = {
    "no vector instructions in torch": {"ATEN_CPU_CAPABILITY": "default"},
    "AVX2": {"ATEN_CPU_CAPABILITY": "avx2"},
    "AVX-512 where the processor has it": {"ATEN_CPU_CAPABILITY": "avx512"},
    "the oldest kernels everywhere": {"ATEN_CPU_CAPABILITY": "default", **OLD_MKL},
    "two threads": {"MECHSCOPE_TEST_THREADS": "2"},
    "the oldest kernels, two threads": {
        "ATEN_CPU_CAPABILITY": "default",
        **OLD_MKL,
        "MECHSCOPE_TEST_THREADS": "2",
    },
}


def main(arguments: list[str]) -> int:
    """Run pytest once per setting; 1 if any run failed."""
    failed: list[str] = []
    command = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", *arguments]
    for name, variables in SETTINGS.items():
        words = " ".join(f"{key}={value}" for key, value in variables.items())
        print(f"== {name}: {words}", flush=True)
        began = time.monotonic()
        # 5: no test was found, which is the arguments' fault and should not look like a pass.
        code = subprocess.run(command, env={**os.environ, **variables}, check=False).returncode
        print(
            f"== {name}: {'passed' if code == 0 else 'FAILED'} in {time.monotonic() - began:.0f} s",
            flush=True,
        )
        if code:
            failed.append(name)
    print(f"== {len(SETTINGS) - len(failed)} of {len(SETTINGS)} settings passed", *failed, sep="\n   ")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
