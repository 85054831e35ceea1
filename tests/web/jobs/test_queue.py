"""Jobs run one at a time, are stopped with all their processes, and are found again by the next server."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from mechscope.labs.step_job import STEP_JOB, Experiment
from mechscope.pages.endpoints import RefusedError
from mechscope.runs.progress_file import read_progress
from mechscope.storage.files import NotKeptError
from mechscope.storage.folder_lock import hold_folder
from mechscope.web.jobs import process as process_module
from mechscope.web.jobs import queue as queue_module
from mechscope.web.jobs import record as record_module
from mechscope.web.jobs.process import JobProcess
from mechscope.web.jobs.queue import JobQueue
from mechscope.web.jobs.record import JobRecord
from tests.web.jobs.fake_experiment import fake_command

QUICK, WAITING, FAILING, STUBBORN, NOISY, KILLED = (Experiment(step="sae", seed=seed) for seed in range(6))


@contextmanager
def a_queue(runs: Path) -> Iterator[JobQueue]:
    """A queue that is closed in the end."""
    queue = JobQueue(runs, [STEP_JOB], fake_command)
    yield queue
    queue.close()


def wait_for(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """The first true value of a condition."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
    return found


def ended(queue: JobQueue, job: JobRecord) -> JobRecord:
    """A job once it is over."""
    wait_for(lambda: not queue.find(job.id).is_active)
    return queue.find(job.id)


def running(queue: JobQueue, job: JobRecord) -> JobRecord:
    """A job once its process has printed something."""
    wait_for(lambda: queue.find(job.id).process and queue.folder.last_lines(job.id))
    return queue.find(job.id)


def test_jobs_run_one_after_another(tmp_path: Path) -> None:
    with a_queue(tmp_path) as queue:
        first = queue.submit(WAITING)
        second = queue.submit(QUICK)
        third = queue.submit(FAILING)
        assert queue.submit(WAITING).id == first.id  # the same experiment is not run twice at once
        running(queue, first)
        assert [job.state for job in queue.jobs()] == ["running", "queued", "queued"]
        (tmp_path / "go").touch()
        assert ended(queue, first).state == "finished"
        assert ended(queue, second).state == "finished"
        failed = ended(queue, third)
        assert (failed.state, failed.problem) == ("failed", "The <b>moon</b> is full. Wait until it is not.")
        assert queue.submit(WAITING).id != first.id  # but again, once it is over


def test_a_job_is_cancelled_and_started_again(tmp_path: Path) -> None:
    with a_queue(tmp_path) as queue:
        job, waiting = queue.submit(WAITING), queue.submit(QUICK)
        number = running(queue, job).process
        assert queue.cancel(waiting.id).state == "cancelled"  # it never began
        queue.cancel(job.id)
        assert ended(queue, job).state == "cancelled"
        assert not psutil.pid_exists(number or 0)
        assert queue.cancel(job.id).state == "cancelled"
        (tmp_path / "go").touch()
        assert ended(queue, queue.submit(WAITING)).state == "finished"


def test_a_stubborn_job_is_killed_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "STOP_SECONDS", 0.3)
    with a_queue(tmp_path) as queue:
        job = queue.submit(STUBBORN)
        number = running(queue, job).process
        wait_for(lambda: "asleep" in queue.folder.last_lines(job.id))
        children = psutil.Process(number).children()
        assert children
        queue.cancel(job.id)
        assert ended(queue, job).state == "cancelled"
        assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)


def test_output_cannot_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "LARGEST_OUTPUT", 300_000)
    with a_queue(tmp_path) as queue:
        job = ended(queue, queue.submit(NOISY))
        assert (job.state, "printed more than 300,000 bytes" in job.problem) == ("failed", True)
        assert len("".join(queue.folder.last_lines(job.id))) <= record_module.LAST_BYTES


def test_a_killed_job_can_be_resumed(tmp_path: Path) -> None:
    with a_queue(tmp_path) as queue:
        job = ended(queue, queue.submit(KILLED))
        assert (job.state, "was killed (signal 9)" in job.problem) == ("interrupted", True)


def test_a_stopped_server_stops_its_job(tmp_path: Path) -> None:
    with a_queue(tmp_path) as queue:
        job, waiting = queue.submit(WAITING), queue.submit(QUICK)
        number = running(queue, job).process
    assert not psutil.pid_exists(number or 0)
    assert queue.find(job.id).state == queue.find(waiting.id).state == "interrupted"
    with pytest.raises(RefusedError, match="The server is stopping"):
        queue.submit(QUICK)


SERVER = """
import sys, time
from pathlib import Path
from mechscope.web.jobs.queue import JobQueue
from mechscope.labs.step_job import STEP_JOB, Experiment
from tests.web.jobs.fake_experiment import fake_command
queue = JobQueue(Path(sys.argv[1]), [STEP_JOB], fake_command)
for seed in (1, 0):
    job = queue.submit(Experiment(step="sae", seed=seed))
while not queue.folder.last_lines(queue.jobs()[0].id) or not queue.jobs()[0].process:
    time.sleep(0.01)
print("ready", flush=True)
time.sleep(600)
"""


@contextmanager
def killed_server(runs: Path) -> Iterator[None]:
    """A server that was killed while one job ran and another one waited."""
    root = Path(__file__).parents[3]
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(runs)], stdout=subprocess.PIPE, text=True, cwd=root
    )
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    server.kill()
    server.wait()
    server.stdout.close()
    yield


def test_the_next_server_finds_the_process_of_a_killed_one(tmp_path: Path) -> None:
    with killed_server(tmp_path), a_queue(tmp_path) as queue:
        job, waiting = queue.jobs()
        assert (job.state, waiting.state) == ("running", "queued")
        assert psutil.pid_exists(job.process or 0)
        (tmp_path / "go").touch()
        assert ended(queue, job).state == "finished"  # known from its files: it is nobody's child any more
        assert ended(queue, waiting).state == "finished"


def test_the_next_server_can_cancel_it(tmp_path: Path) -> None:
    with killed_server(tmp_path), a_queue(tmp_path) as queue:
        job, _ = queue.jobs()
        queue.cancel(job.id)
        assert ended(queue, job).state == "cancelled"
        assert JobProcess.find(job.process, job.process_created) is None


def test_a_job_whose_process_died_with_the_server_is_interrupted(tmp_path: Path) -> None:
    with killed_server(tmp_path):
        record = json.loads(next(tmp_path.glob("jobs/*/job.json")).read_text(encoding="utf-8"))
        left = [
            psutil.Process(json.loads(path.read_text(encoding="utf-8"))["process"])
            for path in tmp_path.glob("jobs/*/job.json")
            if json.loads(path.read_text(encoding="utf-8"))["process"]
        ]
        for process in left:
            process.kill()
        wait_for(
            lambda: not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in left)
        )
        assert record["state"] in ("running", "queued")
        with a_queue(tmp_path) as queue:
            jobs = queue.jobs()
            wait_for(lambda: all(queue.find(job.id).state == "interrupted" for job in jobs))
            assert "resume it" in queue.find(jobs[0].id).problem
            assert "before this run began" in queue.find(jobs[1].id).problem


def test_a_process_with_a_used_number_is_not_taken_for_the_job(tmp_path: Path) -> None:
    here = psutil.Process()
    assert JobProcess.find(here.pid, here.create_time()) is not None
    assert JobProcess.find(here.pid, here.create_time() - 3_600) is None
    assert JobProcess.find(None, None) is None


def test_two_servers_do_not_run_jobs_in_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "LOCK_SECONDS", 0.05)
    with a_queue(tmp_path) as first, a_queue(tmp_path) as second:
        job = first.submit(WAITING)
        running(first, job)
        with pytest.raises(RefusedError, match="Another mechscope server"):
            second.submit(QUICK)
        with pytest.raises(RefusedError, match="Another mechscope server"):
            second.cancel(job.id)
        assert second.find(job.id).state == "running"  # but it can be watched


def test_a_queue_that_is_full_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "MOST_WAITING", 1)
    with a_queue(tmp_path) as queue:
        queue.submit(WAITING)
        queue.submit(QUICK)
        with pytest.raises(RefusedError, match="1 runs are waiting already"):
            queue.submit(FAILING)


def test_old_jobs_are_forgotten_and_damaged_ones_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_module, "KEPT", 2)
    with a_queue(tmp_path) as queue:
        first = queue.submit(QUICK)
        ended(queue, first)
        damaged = queue.submit(QUICK)
        ended(queue, damaged)
        (tmp_path / "jobs" / damaged.id / "job.json").write_text("{", encoding="utf-8")
        (tmp_path / "jobs" / "notes").mkdir()
        for _ in range(3):
            ended(queue, queue.submit(QUICK))
        assert len(queue.jobs()) == 3
        with pytest.raises(RefusedError, match="no job with this id"):
            queue.find(first.id)
        for odd in ("../jobs", damaged.id, "", "notes"):
            with pytest.raises(RefusedError, match="no job with this id"):
                queue.find(odd)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file", encoding="utf-8")
    with a_queue(tmp_path / "runs") as queue:
        assert queue.jobs() == []
        with pytest.raises(RefusedError, match="is a file; choose another folder"):
            queue.submit(QUICK)


def test_a_full_disk_stops_jobs_and_not_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with a_queue(tmp_path) as queue:
        job = queue.submit(WAITING)
        running(queue, job)
        waiting = queue.submit(QUICK)

        def full(*_: object) -> None:
            raise NotKeptError(tmp_path, OSError(28, "No space left on device"))

        monkeypatch.setattr(record_module, "write_atomically", full)
        with pytest.raises(RefusedError, match="No space left on device"):
            queue.submit(FAILING)
        (tmp_path / "go").touch()
        assert ended(queue, job).state == "finished"
        assert ended(queue, waiting).state == "failed"
        monkeypatch.undo()
        assert ended(queue, queue.submit(QUICK)).state == "finished"


def test_the_real_command_says_why_it_ended(tmp_path: Path) -> None:
    queue = JobQueue(tmp_path, [STEP_JOB])
    job = queue.submit(Experiment(step="inductoin"))
    wait_for(lambda: not queue.find(job.id).is_active, 300)
    queue.close()
    failed = queue.find(job.id)
    assert (failed.state, "There is no step 'inductoin'" in failed.problem) == ("failed", True)
    # So the next server would have known as well.
    assert read_progress(queue.folder.progress(job.id)).exit_code == 2


@pytest.mark.slow
def test_a_run_in_a_terminal_is_respected(tmp_path: Path) -> None:
    # As if this process were such a run: it holds the lock on the folder.
    queue = JobQueue(tmp_path, [STEP_JOB])
    with hold_folder(tmp_path / "00-mnist-templates" / "quick-seed-0"):
        job = queue.submit(Experiment(step="mnist-templates"))
        wait_for(lambda: not queue.find(job.id).is_active, 300)
    queue.close()
    assert queue.find(job.id).state == "failed"
    assert "is in use" in queue.find(job.id).problem
