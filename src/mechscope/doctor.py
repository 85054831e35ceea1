"""Examine this installation: packages, devices, memory, data, models, network and disk.

`examine` returns a report of typed checks, which `mechscope doctor` prints. Each check that found something missing
says how to fix it.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

Status = Literal["ok", "note", "problem"]
"""note: something optional is missing; problem: something will not work."""


@dataclass(frozen=True)
class Check:
    """One line of the report."""

    name: str
    """What was checked."""
    status: Status
    """The verdict."""
    found: str
    """What was found."""
    fix: str = ""
    """How to fix it; empty if there is nothing to fix."""


@dataclass(frozen=True)
class Report:
    """Everything that was checked."""

    checks: tuple[Check, ...]
    """The checks in the order in which they are shown."""

    @property
    def problems(self) -> tuple[Check, ...]:
        """The checks that found a problem."""
        return tuple(check for check in self.checks if check.status == "problem")


def examine() -> Report:
    """Run every check. This takes a few seconds, because it imports torch and may wait for the network.

    >>> report = examine()
    >>> [check.name for check in report.checks][:3]
    ['Python', 'packages', 'torch']
    """
    return Report(tuple(check for run_checks in CHECKS for check in _unless_missing(run_checks)))


def _unless_missing(run_checks: Callable[[], list[Check]]) -> list[Check]:
    try:
        return run_checks()
    except ImportError as error:
        name = run_checks.__name__.removeprefix("check_")
        return [Check(name, "problem", str(error), "install the missing packages, then run this again")]


def check_python() -> list[Check]:
    """Python's version against what the package supports."""
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info < (3, 11) or sys.version_info >= (3, 14):
        fix = "mechscope supports Python 3.11 to 3.13: make a new environment"
        return [Check("Python", "problem", found, fix)]
    return [Check("Python", "ok", found)]


def check_packages() -> list[Check]:
    """Every package that mechscope requires, with its version."""
    installed: dict[str, str] = {}
    missing: list[str] = []
    for package in required_packages():
        try:
            installed[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            missing.append(package)
    if missing:
        fix = f"pip install {' '.join(missing)}"
        return [Check("packages", "problem", f"missing: {', '.join(missing)}", fix)]
    found = ", ".join(f"{package} {version}" for package, version in installed.items())
    return [Check("packages", "ok", found)]


def required_packages() -> list[str]:
    """The packages that mechscope's metadata requires, without those of its extras.

    Raises:
        ImportError: if mechscope is not installed as a package.
    """
    requirements = importlib.metadata.requires("mechscope") or []
    names = [re.match(r"[\w.-]+", line) for line in requirements if "extra ==" not in line]
    return [name[0] for name in names if name is not None]


def check_torch() -> list[Check]:
    """The devices that torch can use, and its number of threads."""
    try:
        import torch
    except Exception as error:
        # A broken torch raises OSError, RuntimeError or ImportError, depending on what is broken.
        return [Check("torch", "problem", f"does not import: {error}", "pip install --force-reinstall torch")]
    devices = ["cpu"]
    if torch.cuda.is_available():
        devices += [
            f"cuda ({torch.cuda.get_device_name(index)})" for index in range(torch.cuda.device_count())
        ]
    if torch.backends.mps.is_available():
        devices.append("mps")
    number = torch.get_num_threads()
    threads = "1 thread" if number == 1 else f"{number} threads"
    found = f"devices: {', '.join(devices)}; {threads} on {os.cpu_count()} processors"
    return [Check("torch", "ok", found)]


def check_memory() -> list[Check]:
    """Available memory, including what the system would free, within the limits of a container."""
    from mechscope.main_memory import main_memory

    memory = main_memory()
    found = f"{memory.available / 1e9:,.1f} of {memory.total / 1e9:,.1f} GB available"
    if memory.available < 1e9:
        return [Check("memory", "note", found, "close other programs: the larger steps need about 2 GB")]
    return [Check("memory", "ok", found)]


def check_data() -> list[Check]:
    """The data folder, and every data set that the labs read, including checksums."""
    from mechscope.data.mnist import read_mnist
    from mechscope.storage.folders import DATA_VARIABLE, data_folder

    try:
        folder = data_folder()
    except FileNotFoundError as error:
        return [Check("data folder", "problem", str(error), f"set {DATA_VARIABLE} to a folder, or unset it")]
    checks = [
        Check("data folder", "ok", str(folder))
        if folder
        else Check("data folder", "note", f"{DATA_VARIABLE} is not set (it is optional)"),
        check_cache(),
    ]
    try:
        where = read_mnist().where
    except (ValueError, OSError) as error:
        return [*checks, Check("MNIST", "problem", str(error))]
    return [*checks, Check("MNIST", "ok", f"{where}; four checksums verified")]


def check_cache() -> Check:
    """Whether downloads and prepared data can be cached."""
    from mechscope.storage.files import check_folder
    from mechscope.storage.folders import cache_folder

    folder = cache_folder()
    try:
        check_folder(folder)
    except OSError as error:
        return Check("cache", "problem", str(error), "set MECHSCOPE_CACHE to a folder that can be written to")
    return Check("cache", "ok", str(folder))


def check_models() -> list[Check]:
    """Bundled models, and models of the hub that are on this machine."""
    from mechscope.checkpoints.listing import list_models

    try:
        models = list_models()
    except FileNotFoundError:
        return []  # MECHSCOPE_DATA is wrong, which check_data reports.
    bundled = [model.name for model in models if model.where == "bundled"]
    others = [model.name for model in models if model.where in ("cache", "data folder")]
    found = f"bundled: {', '.join(bundled) or 'none'}; from the hub: {', '.join(others) or 'none on this machine'}"
    checks = [Check("models", "ok", found)]
    if "gpt2" not in others:
        fix = "python -c \"import mechscope; mechscope.load_model('gpt2-small')\" once with network access (0.5 GB)"
        checks.append(Check("GPT-2 small", "note", "not on this machine; claims about it are not run", fix))
    return [*checks, *_packaged_models()]


def _packaged_models() -> list[Check]:
    """Models that `mechscope models get` fetches, and the package that reads them."""
    from mechscope.checkpoints.gguf_file import why_unreadable
    from mechscope.checkpoints.packaged_models import PACKAGED

    checks: list[Check] = []
    for model in PACKAGED.values():
        if model.is_here:
            checks.append(Check(model.name, "ok", str(model.file)))
        elif not model.terms:
            fix = f"mechscope models get {model.name} ({model.megabytes:.0f} MB)"
            checks.append(Check(model.name, "note", "not on this machine", fix))
    if any(model.is_here for model in PACKAGED.values()) and why_unreadable():
        fix = "pip install 'mechscope[gguf]'"
        checks.append(Check("gguf", "problem", "not installed, so that GGUF files cannot be read", fix))
    return checks


def check_hub() -> list[Check]:
    """Whether the Hugging Face hub can be reached."""
    from mechscope.storage.folders import OFFLINE_VARIABLES, is_offline

    name = "Hugging Face hub"
    if is_offline():
        return [Check(name, "note", f"set to stay offline ({' or '.join(OFFLINE_VARIABLES)} is set)")]
    address = urlsplit(os.environ.get("HF_ENDPOINT", "") or "https://huggingface.co")
    host = address.hostname or "huggingface.co"
    port = address.port or (80 if address.scheme == "http" else 443)
    try:
        with socket.create_connection((host, port), timeout=3):
            return [Check(name, "ok", f"{host} answers")]
    except OSError as error:
        fix = "nothing if you want to work offline; otherwise check the network, the proxy, or HF_ENDPOINT"
        return [Check(name, "note", f"{host} cannot be reached ({error})", fix)]


def check_disk() -> list[Check]:
    """Free disk space for reports, in the current folder and in the cache."""
    from mechscope.storage.folders import cache_folder

    checks = []
    for name, folder in (("disk, this folder", Path.cwd()), ("disk, cache", cache_folder())):
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        free = shutil.disk_usage(existing).free / 1e9
        if free < 1:
            fix = "a report takes 7 MB, GPT-2 small 0.5 GB: free some space"
            checks.append(Check(name, "problem", f"{free:.1f} GB free", fix))
        else:
            checks.append(Check(name, "ok", f"{free:,.0f} GB free"))
    return checks


CHECKS: tuple[Callable[[], list[Check]], ...] = (
    check_python,
    check_packages,
    check_torch,
    check_memory,
    check_data,
    check_models,
    check_hub,
    check_disk,
)
"""Every group of checks, in the order of the report."""
