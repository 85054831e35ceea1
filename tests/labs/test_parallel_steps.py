"""Several steps at once: one that breaks, dies or is stopped takes no other one with it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from mechscope.labs import prepare, registry, run_lab
from mechscope.labs.index_page import write_index
from mechscope.labs.parallel_steps import run_steps
from mechscope.runs.parallel_runs import choose_jobs
from mechscope.storage.folder_lock import FolderInUseError
from tests.labs.tiny_lab import tiny_lab

MODULE = """
import dataclasses, os, signal, time
from pathlib import Path
from tests.labs.tiny_lab import tiny_lab

def experiment(workspace, real=tiny_lab(Path({folder!r})).experiment):
    what = {what!r}
    if what == "breaks" and os.getpid() != {parent}:
        raise ValueError("a bug of ours")
    if what == "dies" and os.getpid() != {parent}:
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "waits":
        Path({folder!r}, f"{{os.getpid()}}.waiting").write_text("")
        time.sleep(60)
    return real(workspace)

LAB = dataclasses.replace(tiny_lab(Path({folder!r})), slug={what!r}, experiment=experiment)
"""


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Steps that are importable in other processes too, and known to the registry."""
    names = ("works", "breaks", "dies", "waits")
    for name in names:
        text = MODULE.format(folder=str(tmp_path), what=name, parent=os.getpid())
        (tmp_path / f"step_that_{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(
        registry, "LABS", tuple(registry.LabEntry("99", name, f"step_that_{name}", "small") for name in names)
    )
    yield names
    for name in names:
        sys.modules.pop(f"step_that_{name}", None)


def test_one_that_breaks_and_one_that_dies_leave_the_others_whole(steps, tmp_path: Path) -> None:
    wanted = ("breaks", "dies", "works")
    prepared = [prepare(registry.find_lab(name), out=tmp_path / "runs", device="cpu") for name in wanted]
    found = {done.preparation.lab.slug: done for done in run_steps(prepared, jobs=3)}
    assert set(found) == set(wanted)
    works, breaks, dies = found["works"], found["breaks"], found["dies"]
    assert works.ok
    assert works.counts == {"pass": 1, "fail": 0, "not-run": 1}
    assert works.unproven == (("not-run", "9.2", "there are no stars"),)
    assert works.report == tmp_path / "runs" / "99-works" / "quick-seed-0" / "report.html"
    assert works.report.is_file()
    assert (breaks.ok, breaks.problem) == (False, "ValueError: a bug of ours")
    assert "step_that_breaks.py" in breaks.details
    assert not dies.ok
    assert "killed by signal 9" in dies.problem
    assert not list((tmp_path / "runs" / "99-dies").rglob("claims.json"))


def test_one_job_works_in_this_process_and_goes_on_after_a_failure(tmp_path: Path) -> None:
    good, bad = tiny_lab(tmp_path), tiny_lab(tmp_path)
    object.__setattr__(bad, "slug", "bad")
    object.__setattr__(bad, "experiment", lambda shop: 1 / 0)
    prepared = [prepare(lab, out=tmp_path / "runs", device="cpu") for lab in (bad, good)]
    first, second = run_steps(prepared, jobs=1)
    assert (first.ok, second.ok) == (False, True)
    assert first.problem == "ZeroDivisionError: division by zero"


@pytest.mark.parametrize("file", [None, "scratch"])
def test_a_library_that_finds_the_disk_full_is_a_sentence_and_no_traceback(
    tmp_path: Path, file: str | None
) -> None:
    def experiment(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", file)

    lab = tiny_lab(tmp_path)
    object.__setattr__(lab, "experiment", experiment)
    (done,) = run_steps([prepare(lab, out=tmp_path / "runs", device="cpu")], jobs=1)
    what = file or "the output, or a temporary file,"
    assert done.problem.startswith(f"{what} could not be written (No space left on device). Make room there")
    assert (done.ok, done.details) == (False, "")


STOP = """
import signal
import sys
from pathlib import Path
from mechscope.cli.main import main
from mechscope.labs import registry
sys.path.insert(0, {folder!r})
if __name__ == "__main__":
    # A test run in the background of a shell script hands down that Ctrl-C is to be ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    steps = (("98", "works"), ("99", "waits"))
    registry.LABS = tuple(registry.LabEntry(step, name, f"step_that_{{name}}", "small") for step, name in steps)
    sys.argv[1:] = ["run", "all", "--jobs", "2", "--device", "cpu", "--out", {out!r}]
    main()
"""


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(number, marks=pytest.mark.slow)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
    ],
)
def test_a_signal_ends_every_process_and_keeps_what_was_finished(
    steps, tmp_path: Path, number: signal.Signals
) -> None:
    script = tmp_path / "stopped.py"
    script.write_text(STOP.format(folder=str(tmp_path), out=str(tmp_path / "my runs")))
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    with process:
        try:
            stop_and_check(process, tmp_path, number)
        finally:
            process.kill()


def stop_and_check(process: subprocess.Popen[str], tmp_path: Path, number: signal.Signals) -> None:
    done = tmp_path / "my runs" / "99-works" / "quick-seed-0" / "claims.json"
    deadline = time.monotonic() + 120
    while not (done.is_file() and list(tmp_path.glob("*.waiting"))) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    # A second writer is refused, by name, while the first is at work.
    waits = registry.find_lab("waits")
    with pytest.raises(FolderInUseError, match=f"quick-seed-0 is in use: process {process.pid} on "):
        run_steps([prepare(waits, out=tmp_path / "my runs", device="cpu")], jobs=1)
    if number == signal.SIGINT:
        # As a terminal does it: to the whole group at once.
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, err = process.communicate(timeout=60)
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 128 + number
        by = " by SIGTERM" if number == signal.SIGTERM else ""
        assert err.strip().startswith(f"Stopped{by}. Finished parts are kept in {tmp_path / 'my runs'}. ")
        assert err.strip().endswith(
            f"\n  mechscope run all --jobs 2 --device cpu --out '{tmp_path / 'my runs'}'"
        )
    assert done.is_file()
    (waiting,) = tmp_path.glob("*.waiting")
    # The worker of a parent that was killed sees that a moment later.
    deadline = time.monotonic() + 30
    while is_alive(int(waiting.stem)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_alive(int(waiting.stem))
    # The lock went with its owner, and what it held can be prepared and held again.
    prepared = prepare(waits, out=tmp_path / "my runs", device="cpu")
    run_steps([prepared], jobs=1).close()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("asked", "steps", "device", "cores", "jobs"),
    [
        (0, 6, "cpu", 2, 2),
        (0, 6, "cpu", 16, 6),
        (0, 1, "cpu", 2, 1),
        (0, 6, "cuda", 16, 1),
        (3, 6, "cuda", 16, 3),
        (1, 6, "cpu", 8, 1),
        (9, 2, "cpu", 8, 2),
        (0, 0, "cpu", 8, 1),
    ],
)
def test_jobs_by_cores(asked: int, steps: int, device: str, cores: int, jobs: int) -> None:
    assert choose_jobs(asked, steps, torch.device(device), cores) == jobs


def test_a_negative_number_of_jobs_is_refused() -> None:
    with pytest.raises(ValueError, match="--jobs is how many steps run at once"):
        choose_jobs(-1, 2, torch.device("cpu"))


def test_the_index_links_every_run_and_names_what_was_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = (
        registry.LabEntry("99", "tiny", "nowhere", "small & easy"),
        registry.LabEntry("98", "missing", "nowhere", "not there"),
    )
    monkeypatch.setattr(registry, "LABS", entries)
    runs = tmp_path / "runs"
    run_lab(tiny_lab(tmp_path, value=3.0), out=runs, device="cpu")
    run_lab(tiny_lab(tmp_path), "full", out=runs, device="cpu")
    damaged = runs / "99-tiny" / "quick-seed-7"
    damaged.mkdir()
    (damaged / "claims.json").write_text("{")
    page = write_index(runs).read_text(encoding="utf-8")
    links = [part.split('"')[0] for part in page.split('<a href="')[1:]]
    # The step's title leads to the full run, whose numbers are counted above.
    first = "99-tiny/full-seed-0/report.html"
    assert links == [first, first, "99-tiny/quick-seed-0/report.html"]
    assert f'<a href="{first}">99 · Tiny</a>' in page
    assert all((runs / link).is_file() for link in links)
    assert "small &amp; easy" in page
    assert "<code>mechscope run missing</code>" in page
    # The totals are those of the full run: one pass, none failed.
    summary = page.split("</nav>")[0]
    assert "<b>1</b> reproduced" in summary
    assert "<b>0</b> not reproduced" in summary
