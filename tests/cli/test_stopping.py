"""Ctrl-C, SIGTERM and a closed terminal, in every moment of a command's life."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mechscope.cli.command_line import command_line
from mechscope.cli.stopping import Stopping, StopRequest

# A module that swallows whatever comes while it is imported, as some do that look for optional parts.
SWALLOWS = """
import os, time
try:
    os.kill(os.getpid(), {number})
    time.sleep(60)
except BaseException:
    pass
"""
START = """
import signal, sys
# A test run in the background of a shell script hands down that Ctrl-C is to be ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, {folder!r})
from mechscope.cli import main as command_line
def dispatch(command):
    {work}
    print("went on")
    return 0
command_line._dispatch = dispatch
command_line.main(["run", "00", "--out", "my runs"])
"""


def start(tmp_path: Path, work: str, *before: str) -> subprocess.CompletedProcess[str]:
    code = START.format(folder=str(tmp_path), work=work)
    return subprocess.run(
        [*before, sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_an_import_that_swallows_it_ends_the_program(
    tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "swallows.py").write_text(SWALLOWS.format(number=int(number)))
    done = start(tmp_path, "import swallows")
    assert done.returncode == 128 + number
    assert done.stdout == ""
    by = " by SIGTERM" if number == signal.SIGTERM else ""
    assert done.stderr == (
        f"\nStopped{by}. Finished parts are kept in my runs. To continue, run the same command again:\n"
        "  mechscope run 00 --out 'my runs'\n"
    )


def test_a_signal_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    work = "import os; os.kill(os.getpid(), signal.SIGHUP)"
    done = start(tmp_path, work, "nohup")
    assert (done.returncode, done.stdout) == (0, "went on\n"), done.stderr
    # The tests themselves may have been started by nohup, which would be handed down.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        assert start(tmp_path, work).returncode == 128 + signal.SIGHUP
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_end_is_an_exception_where_work_is_done(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    before = signal.signal(number, default)
    try:
        stopping = Stopping(["run", "00"])
        with stopping.handled(), pytest.raises(StopRequest) as raised:
            signal.raise_signal(number)
            time.sleep(10)
        assert signal.getsignal(number) is default
    finally:
        signal.signal(number, before)
    assert raised.value.number == number
    assert stopping.message(number).startswith(
        "Stopped. " if number == signal.SIGINT else f"Stopped by {number.name}. "
    )


def test_two_signals_within_a_moment_are_one_request_and_a_later_one_ends_it_at_once(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ended: list[int] = []
    clock = [10.0]
    monkeypatch.setattr("mechscope.cli.stopping.time.monotonic", lambda: clock[0])
    monkeypatch.setattr(os, "_exit", ended.append)
    stopping = Stopping(["sae", "train"])
    with pytest.raises(StopRequest):
        stopping._asked_to_end(signal.SIGTERM, None)
    clock[0] += 0.1
    stopping._asked_to_end(signal.SIGTERM, None)  # as `timeout` sends it: to the process, and to its group
    assert ended == []
    clock[0] += 5
    with pytest.raises(StopRequest):
        stopping._asked_to_end(signal.SIGTERM, None)  # os._exit returns here, as it never does
    assert ended == [143]
    assert capfd.readouterr().err == "\nStopped by SIGTERM. Nothing was written.\n"


def test_processes_of_torchrun_are_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    before = signal.getsignal(signal.SIGTERM)
    with Stopping([]).handled():
        assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (("sae", "eval", Path("runs/topk")), "mechscope sae eval runs/topk"),
        (("sae", "eval", Path("my runs/it's")), "mechscope sae eval 'my runs/it'\"'\"'s'"),
        (("verify", "--out", Path("$HOME")), "mechscope verify --out '$HOME'"),
        (("sae", "show", Path("-x"), "--feature", 0), "mechscope sae show ./-x --feature 0"),
    ],
)
def test_a_command_that_is_printed_can_be_copied(words: tuple[str | Path | int, ...], printed: str) -> None:
    assert command_line(*words) == printed
