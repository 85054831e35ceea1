"""`mechscope serve` and `mechscope site`."""

from __future__ import annotations

import importlib.util
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from mechscope.cli.main import main


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    return int(stopped.value.code or 0)


def test_a_site_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("site", "build", str(tmp_path / "lab")) == 0
    assert (tmp_path / "lab" / "index.html").is_file()
    assert f"open {tmp_path / 'lab' / 'index.html'} in a browser" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [(), ("build",), ("bild", "x"), ("build", "x", "y")])
def test_an_unclear_site_command(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("site", *arguments) == 2
    assert "mechscope site build DIR" in capsys.readouterr().err


def test_a_folder_with_something_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    assert run("site", "build", str(tmp_path)) == 2
    assert "holds no mechscope site" in capsys.readouterr().err


@pytest.mark.parametrize("command", [("serve",), ("site", "build", "lab")])
def test_a_file_is_no_folder_of_runs(
    command: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("uvicorn", reason="needs the web lab's server: pip install 'mechscope[web]'")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs.txt").write_text("", encoding="utf-8")
    assert run(*command, "--runs", "runs.txt") == 2
    assert (
        "runs.txt is not a folder; give the folder that `mechscope run` writes to" in capsys.readouterr().err
    )


def test_a_site_needs_the_runs_that_it_was_told_to_show(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("site", "build", str(tmp_path / "lab"), "--runs", str(tmp_path / "rusn")) == 2
    assert f"there is no folder {tmp_path / 'rusn'}" in capsys.readouterr().err


def test_a_site_needs_the_stores_that_it_was_told_to_show(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("site", "build", str(tmp_path / "lab"), "--stores", str(tmp_path / "store")) == 2
    assert f"there is no neuroscope store in {tmp_path / 'store'}" in capsys.readouterr().err


def test_a_missing_server_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "uvicorn" else find(name, *rest)
    )
    assert run("serve") == 2
    error = capsys.readouterr().err
    assert "the web lab needs uvicorn: pip install 'mechscope[web]'" in error
    assert "mechscope site build DIR" in error


def test_a_port_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("uvicorn", reason="needs the web lab's server: pip install 'mechscope[web]'")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert run("serve", "--port", str(taken.getsockname()[1])) == 2
    assert "--port 0 takes any free port" in capsys.readouterr().err


def test_a_host_that_does_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("uvicorn", reason="needs the web lab's server: pip install 'mechscope[web]'")
    assert run("serve", "--host", "no.such.host.invalid") == 2
    error = capsys.readouterr().err
    assert "cannot listen on no.such.host.invalid, port 8080" in error
    assert "free port" not in error


def test_it_serves_until_it_is_stopped() -> None:
    pytest.importorskip("uvicorn", reason="needs the web lab's server: pip install 'mechscope[web]'")
    command = [sys.executable, "-m", "mechscope", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = re.search(r"http://127\.0\.0\.1:\d+/", server.stdout.readline())
        assert address is not None
        with urllib.request.urlopen(address[0]) as answer:
            assert b"mechscope" in answer.read()
        server.send_signal(signal.SIGTERM)  # a shell may have told its children to ignore SIGINT
        _, error = server.communicate(timeout=60)
    assert server.returncode == 143
    assert "What was run is kept in runs." in error
    assert "Traceback" not in error
