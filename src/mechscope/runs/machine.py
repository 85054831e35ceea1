"""Describe the machine that computed a result: long trainings amplify the last bit of a sum, which depends on it."""

from __future__ import annotations

import platform
import re
import subprocess
from functools import cache
from pathlib import Path

import torch

CPUINFO = Path("/proc/cpuinfo")
"""Where Linux names its processors."""


def made_on(device: torch.device) -> str:
    """Processor and number of threads that torch computes with here, in words; on a GPU, its name first."""
    threads = torch.get_num_threads()
    words = f"{processor_name()}, {threads} thread{'' if threads == 1 else 's'}"
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}; {words}"
    return words


@cache
def processor_name() -> str:
    """The processor's name as the machine reports it, or else its architecture."""
    if CPUINFO.is_file():
        found = re.search(
            r"^(?:model name|Model)\s*:\s*(.+)$", CPUINFO.read_text(errors="replace"), re.MULTILINE
        )
        if found:
            return " ".join(found.group(1).split())
    if platform.system() == "Darwin":
        asked = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False
        )
        if asked.stdout.strip():
            return asked.stdout.strip()
    return platform.processor() or platform.machine() or "unnamed processor"
