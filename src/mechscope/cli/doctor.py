"""`mechscope doctor`: check the installation, data and models, and say how to fix problems."""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from mechscope.cli.commands import Doctor

PACKAGES = (
    "torch", "numpy", "einops", "jaxtyping", "safetensors", "tokenizers", "huggingface_hub", "xarray", "tqdm",
    "tyro", "plotly", "jinja2", "markdown-it-py", "latex2mathml", "scikit-learn",
)  # fmt: skip

MARKS = {"ok": "✓", "note": "–", "problem": "✗"}


@dataclass(frozen=True)
class Check:
    """One line of the doctor's report."""

    name: str
    """What was checked."""
    status: Literal["ok", "note", "problem"]
    """note: something optional is missing; problem: something will not work."""
    found: str
    """What was found."""
    fix: str = ""
    """How to fix it; empty if there is nothing to fix."""


def doctor(command: Doctor) -> int:
    """Print the report; 1 if there is a problem."""
    checks = [check for look in LOOKS for check in look()]
    if command.json:
        print(json.dumps([asdict(check) for check in checks], indent=1, ensure_ascii=False))
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            print(f"{MARKS[check.status]} {check.name:<{width}}  {check.found}")
            if check.fix:
                print(f"  {'':<{width}}  → {check.fix}")
    return 1 if any(check.status == "problem" for check in checks) else 0


def check_python() -> list[Check]:
    """Python's version against what the package supports."""
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info < (3, 11) or sys.version_info >= (3, 14):
        return [
            Check(
                "Python", "problem", found, "mechscope supports Python 3.11 to 3.13: make a new environment"
            )
        ]
    return [Check("Python", "ok", found)]


def check_packages() -> list[Check]:
    """Every package that mechscope needs, with its version."""
    from mechscope.results.provenance import versions

    there = versions(PACKAGES)
    missing = [package for package in PACKAGES if package not in there]
    found = ", ".join(f"{package} {there[package]}" for package in PACKAGES if package in there)
    if missing:
        return [
            Check("packages", "problem", f"missing: {', '.join(missing)}", f"pip install {' '.join(missing)}")
        ]
    return [Check("packages", "ok", found)]


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
    found = f"devices: {', '.join(devices)}; {torch.get_num_threads()} threads of {os.cpu_count()} processors"
    return [Check("torch", "ok", found)]


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
    from mechscope.checkpoints.hub import find_on_this_machine
    from mechscope.checkpoints.registry import bundled_names, entries, toy_model_names

    try:
        here = [
            entry.name for entry in entries() if find_on_this_machine(entry.name, entry.hub_id)[1] is not None
        ]
    except FileNotFoundError:
        return []  # MECHSCOPE_DATA is wrong, and check_data has said so
    bundled = [*bundled_names(), *toy_model_names()]
    found = (
        f"bundled: {', '.join(bundled) or 'none'}; from the hub: {', '.join(here) or 'none on this machine'}"
    )
    checks = [Check("models", "ok", found)]
    if "gpt2" not in here:
        fix = "python -c \"import mechscope; mechscope.load_model('gpt2-small')\" once with network access (0.5 GB)"
        checks.append(Check("GPT-2 small", "note", "not on this machine; claims about it are not run", fix))
    return checks


def check_hub() -> list[Check]:
    """Whether the Hugging Face hub can be reached."""
    from mechscope.storage.folders import OFFLINE_VARIABLES, is_offline

    if is_offline():
        return [
            Check(
                "Hugging Face hub", "note", f"set to stay offline ({' or '.join(OFFLINE_VARIABLES)} is set)"
            )
        ]
    address = urlsplit(os.environ.get("HF_ENDPOINT", "") or "https://huggingface.co")
    host, port = (
        address.hostname or "huggingface.co",
        address.port or (80 if address.scheme == "http" else 443),
    )
    try:
        with socket.create_connection((host, port), timeout=3):
            return [Check("Hugging Face hub", "ok", f"{host} answers")]
    except OSError as error:
        fix = "nothing if you want to work offline; otherwise check the network, the proxy, or HF_ENDPOINT"
        return [Check("Hugging Face hub", "note", f"{host} cannot be reached ({error})", fix)]


def check_disk() -> list[Check]:
    """Free disk space for reports, here and in the cache."""
    from mechscope.storage.folders import cache_folder

    checks = []
    for name, folder in (("disk, this folder", Path.cwd()), ("disk, cache", cache_folder())):
        there = next(parent for parent in (folder, *folder.parents) if parent.exists())
        free = shutil.disk_usage(there).free / 1e9
        if free < 1:
            fix = "a report takes 7 MB, GPT-2 small 0.5 GB: free some space"
            checks.append(Check(name, "problem", f"{free:.1f} GB free", fix))
        else:
            checks.append(Check(name, "ok", f"{free:,.0f} GB free"))
    return checks


LOOKS: tuple[Callable[[], list[Check]], ...] = (
    check_python,
    check_packages,
    check_torch,
    check_data,
    check_models,
    check_hub,
    check_disk,
)
