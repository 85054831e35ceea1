"""The examination finds what is wrong and says how to fix it."""

from __future__ import annotations

import importlib.metadata
import socket
from pathlib import Path

import pytest

from mechscope import doctor
from mechscope.doctor import (
    check_cache,
    check_data,
    check_disk,
    check_hub,
    check_memory,
    check_packages,
    check_torch,
    examine,
)


def test_every_check_reports_something() -> None:
    names = [check.name for check in examine().checks]
    for name in (
        "Python",
        "packages",
        "torch",
        "memory",
        "data folder",
        "MNIST",
        "models",
        "Hugging Face hub",
    ):
        assert name in names
    assert len(set(names)) == len(names)


def test_problems_are_the_checks_that_found_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.sys, "version_info", (3, 9, 0))
    (problem,) = examine().problems
    assert problem.name == "Python"
    assert "3.11 to 3.13" in problem.fix


def test_a_check_whose_package_is_missing_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(doctor.sys.modules, "psutil", None)
    checks = {check.name: check for check in examine().checks}
    assert checks["memory"].status == "problem"
    assert "psutil" in checks["memory"].found
    assert checks["MNIST"].status == "ok"


def test_little_memory_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = type("Memory", (), {"available": 2e9, "total": 8e9})
    monkeypatch.setattr("psutil.virtual_memory", lambda: memory)
    assert (check_memory()[0].status, check_memory()[0].found) == ("ok", "2.0 of 8.0 GB available")
    memory.available = 5e8
    assert check_memory()[0].status == "note"


def test_every_required_package_is_reported() -> None:
    (check,) = check_packages()
    assert check.status == "ok"
    for package in ("torch", "xarray", "tyro", "scikit-learn"):
        assert package in check.found
    assert "pytest" not in check.found


def test_a_missing_package_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.metadata.version

    def version(package: str) -> str:
        if package == "einops":
            raise importlib.metadata.PackageNotFoundError(package)
        return real(package)

    monkeypatch.setattr(importlib.metadata, "version", version)
    (check,) = check_packages()
    assert (check.status, check.fix) == ("problem", "pip install einops")


def test_the_device_and_threads_are_said() -> None:
    (check,) = check_torch()
    assert "cpu" in check.found
    assert " thread" in check.found


def test_a_wrong_data_folder_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MECHSCOPE_DATA", "/surely/not/here")
    (check,) = check_data()
    assert check.status == "problem"
    assert "/surely/not/here" in check.found


def test_a_damaged_file_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mechscope.data.mnist import FILES

    (tmp_path / "mnist").mkdir()
    for file in FILES:
        (tmp_path / "mnist" / file.name).write_bytes(b"damaged")
    monkeypatch.setenv("MECHSCOPE_DATA", str(tmp_path))
    check = check_data()[-1]
    assert (check.name, check.status) == ("MNIST", "problem")
    assert FILES[0].sha256 in check.found
    assert "replace it, or unset MECHSCOPE_DATA" in check.found


def test_mnist_is_there_without_a_data_folder_or_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MECHSCOPE_DATA", raising=False)
    monkeypatch.setenv("MECHSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MECHSCOPE_OFFLINE", "1")
    folder, cache, mnist = check_data()
    assert (folder.status, cache.status, mnist.status) == ("note", "ok", "ok")
    assert f"the package's copy, unpacked in {tmp_path / 'cache' / 'mnist'}" in mnist.found


def test_the_hub_offline_reachable_and_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "set to stay offline" in check_hub()[0].found
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.delenv("MECHSCOPE_OFFLINE", raising=False)
    asked: list[tuple[str, int]] = []

    def refuse(address: tuple[str, int], timeout: float) -> None:
        asked.append(address)
        raise OSError("unreachable")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example:8080")
    (check,) = check_hub()
    assert (check.status, asked) == ("note", [("hub.example", 8080)])
    assert check.fix


def test_a_full_disk_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 1e8})
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: usage)
    assert {check.status for check in check_disk()} == {"problem"}


def test_a_cache_that_cannot_be_written_to_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MECHSCOPE_CACHE", str(tmp_path / "file" / "cache"))
    found = check_cache()
    assert (found.status, "MECHSCOPE_CACHE" in found.fix) == ("problem", True)
    assert "file is a file; choose another folder" in found.found
    monkeypatch.setenv("MECHSCOPE_CACHE", str(tmp_path / "cache"))
    assert check_cache().status == "ok"
    assert not (tmp_path / "cache").exists()
